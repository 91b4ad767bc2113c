"""Writes test/goldens/optimizer: a tiny BERT, what PyTorch's optimizers kept while it was trained, and the Fisher that follows.

Made with Python 3.11, torch 2.15.0 and transformers 5.23.0.
Run: python test/oracle/optimizer_state.py, from the project's root.

- trainer.pt: AdamW with two groups as the Trainer of transformers divides them (its own get_decay_parameter_names).
- named.pt: Adam over model.named_parameters(), so that the file keeps the names; β₂ = 0.9; amsgrad.
- plain.pt: AdamW over model.parameters() inside a larger checkpoint, in the format before PyTorch 1.6.
- model.safetensors and pytorch_model.bin: the weights after the last training.
- expected.json: `order`, the names of model.named_parameters(); for each optimizer `step`, `beta2` and for each tensor
  B·exp_avg_sq/(1 − β₂ᵗ) in float64 as [sum, first, middle, last element], looked up by parameter and not by number.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForSequenceClassification
from transformers.trainer_pt_utils import get_parameter_names

BATCH = 4
OUT = pathlib.Path("test/goldens/optimizer")
FORBIDDEN = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]

torch.set_num_threads(1)
torch.manual_seed(4)
config = BertConfig(
    vocab_size=13, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8,
    max_position_embeddings=7, type_vocab_size=2, num_labels=2,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)
model = BertForSequenceClassification(config).train()


def train(optimizer, steps):
    for _ in range(steps):
        ids = torch.randint(0, 13, (BATCH, 6))
        loss = model(input_ids=ids, labels=ids[:, 0] % 2).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def expected(optimizer):
    tensors = {}
    for name, parameter in model.named_parameters():
        state = optimizer.state[parameter]
        beta2 = optimizer.param_groups[0]["betas"][1]
        step = int(state["step"])
        fisher = (BATCH * state["exp_avg_sq"].double() / (1 - beta2**step)).flatten()
        tensors[name] = [float(x) for x in (fisher.sum(), fisher[0], fisher[len(fisher) // 2], fisher[-1])]
    return {"step": step, "beta2": beta2, "tensors": tensors}


decay = set(get_parameter_names(model, [torch.nn.LayerNorm], FORBIDDEN))
groups = [
    {"params": [p for n, p in model.named_parameters() if n in decay], "weight_decay": 0.01},
    {"params": [p for n, p in model.named_parameters() if n not in decay], "weight_decay": 0.0},
]
result = {"batch": BATCH, "order": [name for name, _ in model.named_parameters()]}

trainer = torch.optim.AdamW(groups, lr=1e-3)
train(trainer, 5)
torch.save(trainer.state_dict(), OUT / "trainer.pt")
result["trainer"] = expected(trainer)

named = torch.optim.Adam(model.named_parameters(), lr=1e-3, betas=(0.9, 0.9), amsgrad=True)
train(named, 3)
torch.save(named.state_dict(), OUT / "named.pt")
result["named"] = expected(named)

plain = torch.optim.AdamW(model.parameters(), lr=1e-3)
train(plain, 2)
torch.save({"epoch": 1, "optimizer": plain.state_dict()}, OUT / "plain.pt", _use_new_zipfile_serialization=False)
result["plain"] = expected(plain)

# In the order of the names, so that the file cannot tell that of the parameters.
save_file(dict(sorted(model.state_dict().items())), OUT / "model.safetensors", metadata={"format": "pt"})
torch.save(model.state_dict(), OUT / "pytorch_model.bin")
(OUT / "expected.json").write_text(json.dumps(result, indent=1) + "\n")
