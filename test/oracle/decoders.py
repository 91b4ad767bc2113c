"""Writes test/goldens/decoders: where dropout stands in transformers' decoders, and the order of their parameters.

Made with Python 3.11, torch 2.15.0, transformers 5.23.0 and safetensors 0.8.0, from the models in test/goldens/architectures.
Run: python test/oracle/decoders.py

dropout.safetensors: logits of each case in training, float64 stored as float32, where dropout at rate p multiplies by 1 + p, which
tells every place and rate apart. dropout.json: the rates, by configuration key.
parameters.json: the names that model.safetensors has for the parameters, in the order of PyTorch's named_parameters(), by which
optimizers number their states.
"""

import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent / "architectures"))
from golden import GOLDENS, fresh_rotary, load, stored, widened, with_config  # noqa: E402

OUT = GOLDENS.parent / "decoders"
GPT2 = {"embd_pdrop": 0.3, "attn_pdrop": 0.2, "resid_pdrop": 0.4}
ATTENTION = {"attention_dropout": 0.2}
RATES = {
    "gpt2-causal": GPT2,
    "gpt2-classify": GPT2,
    "llama-causal": ATTENTION,
    "mistral-classify": ATTENTION,
    "qwen2-causal": ATTENTION,
    "t5-conditional": {"dropout_rate": 0.05},
    "t5-gated-gelu-untied": {"dropout_rate": 0.05},
}
ORDERS = [
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
    "t5-conditional",
    "t5-gated-gelu-untied",
]


def class_of(case):
    return getattr(transformers, json.loads((GOLDENS / case / "golden.json").read_text())["class"])


def order(case):
    """Each parameter is filled with its number, and saved: the writer says under which name it lands in the file."""
    model = load(class_of(case), GOLDENS / case, torch.float32)
    numbered = [torch.full_like(p, i) for i, p in enumerate(model.parameters())]
    places = {name: int(value.flatten()[0]) for name, value in stored(model, numbered).items()}
    assert sorted(places.values()) == list(range(len(numbered))), case
    return sorted(places, key=places.get)


def marked(x, p=0.5, training=True, inplace=False):
    return x * (1 + p) if training else x


def logits(case, rates):
    model = with_config(class_of(case), GOLDENS / case, lambda config: {**config, **rates}).train()
    golden = load_file(GOLDENS / case / "golden.safetensors")
    given = {k.removeprefix("input."): v for k, v in golden.items() if k.startswith("input.") and k != "input.labels"}
    kept, torch.nn.functional.dropout = torch.nn.functional.dropout, marked
    try:
        with widened():
            fresh_rotary(model)
            found = model(**given).logits.detach()
    finally:
        torch.nn.functional.dropout = kept
    plain = golden["logits"].double()
    assert (found - plain).abs().max() > 0.01, f"{case}: dropout moves nothing"
    return found.float()


OUT.mkdir(parents=True, exist_ok=True)
save_file({case: logits(case, rates) for case, rates in RATES.items()}, OUT / "dropout.safetensors")
(OUT / "dropout.json").write_text(json.dumps(RATES, indent=1) + "\n")
(OUT / "parameters.json").write_text(json.dumps({case: order(case) for case in ORDERS}, indent=1) + "\n")
