"""Writes test/goldens/train: tiny models fine-tuned by PyTorch, step by step.

Made with Python 3.11, torch 2.15.0 and transformers 5.23.0.
Run: python test/oracle/finetune.py, from the project's root.

One folder each: config.json and model.safetensors before training, train.jsonl (token ids and labels), final.safetensors after it, and
expected.json: `settings`; `steps`, the lines of each step; `losses` and `norms` (before clipping) of each step, `rates`, and
`vanishing`: parameters whose gradient is zero in exact arithmetic, at least that of keys, so that Adam only magnifies rounding there.
AdamW decays what the Trainer of transformers decays; schedules are those of transformers; gradients are clipped by clip_grad_norm_.
Trained in float64, and the weights rounded to float32 at the end: what is compared with it shows its own rounding.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    get_scheduler,
)
from transformers.trainer_pt_utils import get_parameter_names

OUT = pathlib.Path("test/goldens/train")
FORBIDDEN = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)", r"(?:^|\.)ln_\w+(?:$|\.)"]
LINES = 40

torch.set_num_threads(1)


def padded(rows, value):
    width = max(len(row) for row in rows)
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


def loss_of(model, lines, kind):
    ids = padded([line["input_ids"] for line in lines], 0)
    mask = padded([[1] * len(line["input_ids"]) for line in lines], 0)
    logits = model(input_ids=ids, attention_mask=mask).logits
    if kind == "classification":
        return cross_entropy(logits, torch.tensor([line["label"] for line in lines]))
    labels = padded([line["input_ids"] for line in lines], -100)
    return cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def write(name, model, lines, kind, vanishing, count, batch, settings):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    for extra in folder.glob("generation_config.json"):
        extra.unlink()
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    model = model.double().eval()
    decayed = set(get_parameter_names(model, [torch.nn.LayerNorm], FORBIDDEN))
    groups = [
        {"params": [p for n, p in model.named_parameters() if n in decayed], "weight_decay": settings["weightDecay"]},
        {"params": [p for n, p in model.named_parameters() if n not in decayed], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings["learningRate"], betas=(0.9, 0.999), eps=1e-8)
    scheduler = get_scheduler(settings["schedule"], optimizer, settings["warmup"], count)
    generator = torch.Generator().manual_seed(1)
    steps = [torch.randperm(len(lines), generator=generator)[:batch].tolist() for _ in range(count)]
    losses, norms, rates = [], [], []
    for step in steps:
        loss = loss_of(model, [lines[i] for i in step], kind)
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"]).item())
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    final = {name: value.detach().float().contiguous() for name, value in model.named_parameters()}
    save_file(final, folder / "final.safetensors", {"format": "pt"})
    expected = {
        "settings": settings,
        "batch": batch,
        "steps": steps,
        "losses": losses,
        "norms": norms,
        "rates": rates,
        "vanishing": [name for name, _ in model.named_parameters() if any(part in name for part in vanishing)],
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


def sequences(vocabulary, longest, classes):
    lines = []
    for _ in range(LINES):
        length = int(torch.randint(3, longest + 1, ()).item())
        ids = torch.randint(1, vocabulary, (length,)).tolist()
        lines.append({"input_ids": ids, **({} if classes is None else {"label": ids[1] % classes})})
    return lines


torch.manual_seed(11)
bert = BertConfig(
    vocab_size=97, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=20, type_vocab_size=2, num_labels=3, initializer_range=0.3,
)
write(
    "bert", BertForSequenceClassification(bert), sequences(97, 20, 3), "classification",
    ["attention.self.key.bias"], 20, 8,
    {"learningRate": 5e-3, "weightDecay": 0.1, "warmup": 5, "schedule": "linear", "clip": 1.0},
)
gpt2 = GPT2Config(
    vocab_size=89, n_positions=12, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3,
    bos_token_id=0, eos_token_id=0,
)
write(
    "gpt2", GPT2LMHeadModel(gpt2), sequences(89, 12, None), "causal-lm",
    ["attn.c_attn.bias"], 20, 8,
    {"learningRate": 5e-3, "weightDecay": 0.05, "warmup": 3, "schedule": "cosine", "clip": 2.0},
)
