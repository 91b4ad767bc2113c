"""The largest difference between two merges, tensor by tensor, relative to the largest entry: python compare.py A B"""

import sys

from safetensors.torch import load_file

a, b = (load_file(path) for path in sys.argv[1:])
assert a.keys() == b.keys(), a.keys() ^ b.keys()
worst = max(
    ((a[name].float() - b[name].float()).abs().max() / b[name].float().abs().max().clamp(min=1e-30)).item()
    for name in a
)
print(f"{worst:.1e}")
