"""Writes test/goldens/encoders: where dropout stands in transformers' encoders, and the order of their parameters.

Made with Python 3.11, torch 2.15.0, transformers 5.23.0 and safetensors 0.8.0, from the models in test/goldens/architectures.
Run: python test/oracle/encoders.py

dropout.safetensors: logits of each case in training, float64 stored as float32, where dropout at rate p multiplies by 1 + p, which
tells every place and rate apart. dropout.json: the rates, by configuration key.
parameters.json: the names of the parameters in model.safetensors, in the order of named_parameters().
"""

import json
import pathlib
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
MODELS = GOLDENS / "architectures"
OUT = GOLDENS / "encoders"
BERT = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2, "classifier_dropout": 0.4}
DISTILBERT = {"dropout": 0.3, "attention_dropout": 0.2, "seq_classif_dropout": 0.4}
VIT = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}
RATES = {
    "bert-classify": BERT,
    "bert-classify-five": {**BERT, "classifier_dropout": None},
    "bert-masked": BERT,
    "roberta-classify": BERT,
    "roberta-classify-five": {**BERT, "classifier_dropout": None},
    "roberta-masked": BERT,
    "distilbert-classify": DISTILBERT,
    "distilbert-masked": DISTILBERT,
    "vit-classify": VIT,
}
UNTIED = ["bert-masked-untied", "roberta-masked-untied", "distilbert-masked-untied"]

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def load(case, changes):
    """The model of a case under a changed configuration, in float64."""
    config = json.loads((MODELS / case / "config.json").read_text())
    cls = getattr(transformers, config["architectures"][0])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        (folder / "model.safetensors").write_bytes((MODELS / case / "model.safetensors").read_bytes())
        return cls.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")


def order(case):
    """Each parameter is filled with its number: the file then tells which name has which."""
    model = load(case, {})
    for number, parameter in enumerate(model.parameters()):
        parameter.data.fill_(number)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        stored = load_file(pathlib.Path(folder) / "model.safetensors")
    numbers = {name: int(value.flatten()[0]) for name, value in stored.items()}
    assert sorted(numbers.values()) == list(range(len(numbers))), case
    return sorted(numbers, key=numbers.get)


def marked(x, p=0.5, training=True, inplace=False):
    return x * (1 + p) if training else x


def logits(case, rates):
    model = load(case, rates).train()
    golden = load_file(MODELS / case / "golden.safetensors")
    given = {k.removeprefix("input."): v for k, v in golden.items() if k.startswith("input.") and k != "input.labels"}
    if "pixel_values" in given:
        given["pixel_values"] = given["pixel_values"].double()
    kept = torch.nn.functional.dropout, torch.float32, torch.float
    torch.nn.functional.dropout = marked
    # ViT widens its scores to what it takes for the wider type.
    torch.float32 = torch.float = torch.float64
    try:
        found = model(**given).logits.detach()
    finally:
        torch.nn.functional.dropout, torch.float32, torch.float = kept
    plain = golden["logits"].double()
    assert (found - plain).abs().max() > 0.01, f"{case}: dropout moves nothing"
    return found.float()


OUT.mkdir(parents=True, exist_ok=True)
save_file({case: logits(case, rates) for case, rates in RATES.items()}, OUT / "dropout.safetensors")
(OUT / "dropout.json").write_text(json.dumps(RATES, indent=1) + "\n")
orders = {case: order(case) for case in [*RATES, *UNTIED]}
(OUT / "parameters.json").write_text(json.dumps(orders, indent=1) + "\n")
