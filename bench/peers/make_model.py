"""Writes a random two-class BERT and random texts of token ids, for benchmarks: only the shapes matter.

    python make_model.py SHAPE FOLDER [--length L] [--examples N] [--seed S]      SHAPE: bert-base, minilm

FOLDER gets config.json, model.safetensors (float32) and tokens-L.jsonl: lines of {"input_ids", "label"}, each L long. Weights that are
there already are kept, so that a second call adds texts of another length.
"""

import argparse
import json
import pathlib

import torch
from transformers import BertConfig, BertForSequenceClassification

SHAPES = {
    "bert-base": {},
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
}
FIRST, LAST = 101, 102


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not 3 <= options.length <= 512:
        parser.error("--length: 3 to 512 tokens")
    config = BertConfig(**SHAPES[options.shape], num_labels=2)
    if not (options.folder / "model.safetensors").exists():
        torch.manual_seed(options.seed)
        BertForSequenceClassification(config).save_pretrained(options.folder)
    generator = torch.Generator().manual_seed(options.seed + options.length)
    with open(options.folder / f"tokens-{options.length}.jsonl", "w") as file:
        for n in range(options.examples):
            inner = torch.randint(1000, config.vocab_size, (options.length - 2,), generator=generator).tolist()
            file.write(json.dumps({"input_ids": [FIRST, *inner, LAST], "label": n % 2}) + "\n")


main()
