"""Steps of AdamW in PyTorch on all parameters, with the faster of its two implementations: examples per second.

    python pytorch_finetune.py MODEL DATA [--threads T] [--seconds S | --examples N] [--batch B] [--adam foreach|fused|auto]

Without --batch: 16 examples a step. Dropout is off; gradients are clipped at norm 1.
"""

import peer
import torch
from torch.nn.functional import cross_entropy


def optimizer(model, kind):
    return torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, **{kind: True})


def stepper(model, adam):
    def step(batch):
        logits = model(input_ids=batch["ids"], attention_mask=batch["mask"]).logits
        cross_entropy(logits, batch["labels"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad(set_to_none=False)

    return step


def main():
    options = peer.parse(__doc__, extra=lambda parser: parser.add_argument("--adam", choices=["foreach", "fused", "auto"], default="auto"))
    model, lines = peer.load(options), peer.read(options)
    size = options.batch or 16
    kind = options.adam
    if kind == "auto":
        tried = {
            one: peer.rate(stepper(model, optimizer(model, one)), lines, size, options.seconds / 10)["best_examples_per_second"]
            for one in ("foreach", "fused")
        }
        kind = max(tried, key=tried.get)
    peer.measure(options, stepper(model, optimizer(model, kind)), lines, size, bench="finetune", adam=kind)


main()
