"""Batched inference in PyTorch, as fast as it goes: examples per second.

    python pytorch_evaluate.py MODEL DATA [--threads T] [--seconds S | --examples N] [--batch B]
"""

import peer
import torch


def main():
    options = peer.parse(__doc__)
    model, lines = peer.load(options), peer.read(options)
    counts = {"correct": 0, "all": 0}

    @torch.inference_mode()
    def step(batch):
        logits = model(input_ids=batch["ids"], attention_mask=batch["mask"]).logits
        counts["correct"] += int((logits.argmax(-1) == batch["labels"]).sum())
        counts["all"] += len(logits)

    size = peer.fastest(step, lines, [1, 2, 4, 8, 16, 32, 64], options)
    peer.measure(options, step, lines, size, bench="evaluate")


main()
