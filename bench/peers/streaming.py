"""Gradient matching in PyTorch as fast as it goes: mapped files, chunks that stay in the caches, in place, two processes.

    python streaming.py OUT BASE MODEL...      folders with model.safetensors and fisher.safetensors
"""

import json
import mmap
import multiprocessing
import pathlib
import struct
import sys
import warnings

import torch

N = 10_000
DELTA = 1e-12
WEIGHTS = [1.0, 0.5, 0.25]
CHUNK = 131_072
WORKERS = 2
TYPES = {"BF16": torch.bfloat16, "F32": torch.float32}


def header(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)), 8 + length


def mapped(path, size, access):
    with open(path, "rb" if access == mmap.ACCESS_READ else "r+b") as file:
        return mmap.mmap(file.fileno(), size, access=access)


def work(worker, out, layout, begin, dtype, elements, inputs):
    torch.set_num_threads(1)
    width = torch.empty((), dtype=dtype).element_size()
    data = []
    for path, offset in inputs:
        view = mapped(path, 0, mmap.ACCESS_READ)
        # It warns that a mapped file cannot be written to; nobody does.
        warnings.simplefilter("ignore")
        data.append(torch.frombuffer(view, dtype=dtype, count=elements, offset=offset))
    target = torch.frombuffer(mapped(out, 0, mmap.ACCESS_WRITE), dtype=dtype, count=elements, offset=begin)
    theta_0, fisher_0, *rest = data
    theta, prior, curvature, step, precision, product = (torch.empty(CHUNK) for _ in range(6))
    for first in range(worker * CHUNK, elements, WORKERS * CHUNK):
        n = min(CHUNK, elements - first)
        here = slice(first, first + n)
        theta[:n].copy_(theta_0[here])
        prior[:n].copy_(fisher_0[here]).mul_(N).add_(DELTA)
        precision[:n].copy_(prior[:n])
        step[:n].zero_()
        for weight, theta_t, fisher_t in zip(WEIGHTS, rest[0::2], rest[1::2]):
            curvature[:n].copy_(fisher_t[here]).mul_(N)
            precision[:n].add_(curvature[:n], alpha=weight)
            curvature[:n].add_(prior[:n])
            product[:n].copy_(theta_t[here]).sub_(theta[:n]).mul_(curvature[:n])
            step[:n].add_(product[:n], alpha=weight)
        target[here].copy_(step[:n].div_(precision[:n]).add_(theta[:n]))


def main(out, base, *models):
    folders = [pathlib.Path(folder) for folder in (base, *models)]
    layout, _ = header(folders[0] / "model.safetensors")
    layout["__metadata__"] = {"format": "pt"}
    inputs = []
    for folder in folders:
        for name in ("model.safetensors", "fisher.safetensors"):
            # Every file here has the same tensors in the same order, so the data of all is one long vector.
            inputs.append((folder / name, header(folder / name)[1]))
    dtype = TYPES[next(entry["dtype"] for name, entry in layout.items() if name != "__metadata__")]
    size = max(entry["data_offsets"][1] for name, entry in layout.items() if name != "__metadata__")
    elements = size // torch.empty((), dtype=dtype).element_size()
    text = json.dumps(layout).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(out).mkdir()
    path = pathlib.Path(out) / "model.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + size)
    workers = [
        multiprocessing.Process(
            target=work, args=(k, path, layout, 8 + len(text), dtype, elements, inputs)
        )
        for k in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0


multiprocessing.set_start_method("fork")
main(*sys.argv[1:])
