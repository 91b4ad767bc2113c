"""
Writes test/goldens/parameter-order.json: of some models of test/goldens/architectures, the names that model.safetensors has for
their parameters, in the order of PyTorch's named_parameters(), by which optimizers number their states.

Made with Python 3.11, torch 2.15.0, transformers 5.23.0 and safetensors 0.8.0.
Run: python test/oracle/parameter_order.py
"""

import json
import pathlib
import sys

import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).parent / "architectures"))
from golden import GOLDENS, load, stored  # noqa: E402

CASES = [
    "bert-classify",
    "bert-masked",
    "bert-masked-untied",
    "distilbert-classify",
    "distilbert-masked",
    "distilbert-masked-untied",
    "gpt2-causal",
    "gpt2-causal-untied",
    "gpt2-classify",
    "llama-causal",
    "llama-causal-attention-bias",
    "llama-causal-mlp-bias",
    "llama-causal-tied",
    "llama-classify",
    "mistral-causal",
    "mistral-classify",
    "qwen2-causal",
    "qwen2-causal-tied",
    "qwen2-classify",
    "roberta-classify",
    "roberta-masked",
    "roberta-masked-untied",
    "t5-conditional",
    "t5-gated-gelu-untied",
    "vit-classify",
]


def order(name):
    folder = GOLDENS / name
    cls = getattr(transformers, json.loads((folder / "golden.json").read_text())["class"])
    model = load(cls, folder, torch.float32)
    # Each parameter is filled with its number, and saved: the writer says under which name that lands in the file.
    numbered = [torch.full_like(p, i) for i, p in enumerate(model.parameters())]
    places = {key: int(value.flatten()[0]) for key, value in stored(model, numbered).items()}
    assert sorted(places.values()) == list(range(len(numbered)))
    return sorted(places, key=places.get)


orders = {name: order(name) for name in CASES}
(GOLDENS.parent / "parameter-order.json").write_text(json.dumps(orders, indent=1) + "\n")
