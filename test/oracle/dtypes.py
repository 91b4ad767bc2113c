"""Writes test/goldens/dtypes.json: float codes as PyTorch decodes and rounds them.

Made with Python 3.11, torch 2.15.0 and numpy 2. Run: python test/oracle/dtypes.py

decode: for each dtype, sha256 of the float64 values of all codes in order (NaN as 0x7ff8…), and a few (code, value) pairs.
encode: float32 inputs by their bits with PyTorch's rounding. PyTorch rounds a float64 by way of float32, twice, so its
float64 conversions are no reference; numpy's float64 to float16 rounds once and gives `encode_f64`.
"""

import hashlib
import json
import pathlib
import struct

import numpy
import torch

DTYPES = {
    "F16": (torch.float16, 16),
    "BF16": (torch.bfloat16, 16),
    "F8_E4M3": (torch.float8_e4m3fn, 8),
    "F8_E5M2": (torch.float8_e5m2, 8),
}


def all_values(dtype, bits):
    if bits == 16:
        codes = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16)
    else:
        codes = torch.arange(1 << 8, dtype=torch.int32).to(torch.uint8)
    values = codes.view(dtype).to(torch.float32).to(torch.float64).numpy()
    return numpy.where(numpy.isnan(values), numpy.float64("nan"), values)


decode = {}
for name, (dtype, bits) in DTYPES.items():
    values = all_values(dtype, bits)
    canonical = values.view(numpy.uint64).copy()
    canonical[numpy.isnan(values)] = 0x7FF8000000000000
    step = len(values) // 16 - 1
    decode[name] = {
        "sha256": hashlib.sha256(canonical.tobytes()).hexdigest(),
        "samples": [[c, repr(float(values[c]))] for c in range(0, len(values), step)],
    }

generator = numpy.random.default_rng(20240607)
bits = set()
for name in ("F16", "BF16"):
    values = all_values(*DTYPES[name])
    finite = numpy.sort(values[numpy.isfinite(values) & (values >= 0)])
    chosen = numpy.concatenate([generator.choice(len(finite) - 1, 24), [0, 1, len(finite) - 2]])
    for k in chosen:
        middle = numpy.float32((finite[k] + finite[k + 1]) / 2)
        for x in (middle, numpy.nextafter(middle, numpy.float32(0)), numpy.nextafter(middle, numpy.float32(numpy.inf))):
            bits.add(struct.unpack("<I", struct.pack("<f", x))[0])
for x in (65504.0, 65519.99, 65520.0, 65536.0, 3.3895314e38, 3.3961775e38, 3.4028235e38, 1e-45, 2.0**-25, 2.0**-24):
    bits.add(struct.unpack("<I", struct.pack("<f", x))[0])
bits |= {b | 0x80000000 for b in list(bits)}
bits |= {0x7F800000, 0xFF800000}
inputs = sorted(bits)
tensor = torch.tensor(inputs, dtype=torch.int64).to(torch.uint32).view(torch.float32)
encode = [
    [b, int(f), int(g)]
    for b, f, g in zip(
        inputs,
        tensor.to(torch.float16).view(torch.uint16).tolist(),
        tensor.to(torch.bfloat16).view(torch.uint16).tolist(),
    )
]

doubles = []
half = all_values(torch.float16, 16)
half = numpy.sort(half[numpy.isfinite(half) & (half >= 0)])
for k in generator.choice(len(half) - 1, 40):
    middle = (half[k] + half[k + 1]) / 2
    # One double above and below a tie: rounding by way of float32 gets these wrong.
    doubles += [middle, numpy.nextafter(middle, 0), numpy.nextafter(middle, numpy.inf)]
encode_f64 = [
    [struct.pack(">d", x).hex(), int(numpy.float64(x).astype(numpy.float16).view(numpy.uint16))] for x in doubles
]

target = pathlib.Path(__file__).parent.parent / "goldens" / "dtypes.json"
target.write_text(
    json.dumps({"torch": torch.__version__.split("+")[0], "decode": decode, "encode": encode, "encode_f64": encode_f64})
    + "\n"
)
print(target, target.stat().st_size)
