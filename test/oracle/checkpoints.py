"""Writes test/conformance/checkpoints.json: what PyTorch and safetensors themselves read from real files.

Made with Python 3.11, torch 2.15.0 and safetensors 0.8.0.
Run: python test/oracle/checkpoints.py FOLDER, where FOLDER holds pytorch, pytorch-burn, safetensors, lora-* and
adamw-optimizer-state. It unpickles without restriction: only for files that are known.

For each file either its tensors, as [dtype, shape, first 32 hex digits of the sha256 of the little-endian elements in
row-major order], under dotted names, or [tag, word]: the error's tag and what its message must contain.
"""

import fnmatch
import hashlib
import json
import pathlib
import sys

import safetensors
import safetensors.torch
import torch

GROUPS = ["pytorch", "pytorch-burn", "safetensors", "lora-distilbert-imdb", "lora-gptneo125m-movies", "adamw-optimizer-state"]
SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".gguf", ".index.json")

# What gradmerge does not read although another program might, or what nobody can read.
REFUSED = {
    "pytorch/bumblebee/*numpy_array*.pt": ["pickle", "numpy.core.multiarray._reconstruct"],
    "pytorch/bumblebee/tensors.*.pt": ["checkpoint", "torch.complex128"],
    "pytorch-burn/*broken.pt": ["checkpoint", "neither a safetensors nor a PyTorch file"],
    "safetensors/syoyo-safetensors_abuse_attempt_1.safetensors": ["truncated", "1000 bytes"],
    "safetensors/hyllama-dummy.gguf": ["checkpoint", "GGUF"],
    "lora-distilbert-imdb/training_args.bin": ["pickle", "transformers.training_args.TrainingArguments"],
    "lora-distilbert-imdb/rng_state.pth": ["pickle", "numpy._core.multiarray._reconstruct"],
}

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex64: "C64",
}
WRAPPERS = ["state_dict", "model_state_dict", "model", "module"]


def flatten(value, name, out):
    if isinstance(value, torch.Tensor):
        out[name or "0"] = value.detach()
    elif isinstance(value, dict):
        for key, child in value.items():
            flatten(child, f"{name}.{key}" if name else str(key), out)
    elif isinstance(value, (list, tuple)):
        for key, child in enumerate(value):
            flatten(child, f"{name}.{key}" if name else str(key), out)
    return out


def named(value):
    if isinstance(value, dict):
        holders = [key for key, child in value.items() if flatten(child, "", {})]
        if len(holders) == 1 and holders[0] in WRAPPERS and isinstance(value[holders[0]], dict):
            value = value[holders[0]]
    return flatten(value, "", {})


def row(tensor):
    tensor = tensor.contiguous().clone()
    data = bytes(tensor.untyped_storage().tolist())
    return [DTYPES[tensor.dtype], list(tensor.shape), hashlib.sha256(data).hexdigest()[:32]]


def load(path):
    if path.name.endswith(".index.json"):
        shards = set(json.loads(path.read_text())["weight_map"].values())
        return {k: v for shard in shards for k, v in safetensors.torch.load_file(path.parent / shard).items()}
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    return named(torch.load(path, map_location="cpu", weights_only=False))


root = pathlib.Path(sys.argv[1])
table = {}
for group in GROUPS:
    for path in sorted((root / group).rglob("*")):
        if not path.name.endswith(SUFFIXES):
            continue
        name = path.relative_to(root).as_posix()
        refused = next((word for pattern, word in REFUSED.items() if fnmatch.fnmatch(name, pattern)), None)
        table[name] = {"refused": refused} if refused else {"tensors": {k: row(v) for k, v in load(path).items()}}

target = pathlib.Path(__file__).parent.parent / "conformance" / "checkpoints.json"
rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in table.items())
target.write_text("{\n" + rows + "\n}\n")
print(len(table), "files", target.stat().st_size, "bytes", torch.__version__, safetensors.__version__)
