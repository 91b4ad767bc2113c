"""What the PyTorch peers share: their command line, their data, their clock."""

import argparse
import itertools
import json
import resource
import sys
import time

import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging


def parse(description, **defaults):
    """MODEL, DATA and the usual options; `extra` adds options of a peer's own."""
    extra = defaults.pop("extra", None)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder with config.json and model.safetensors")
    parser.add_argument("data", help='JSON lines of {"input_ids", "label"}')
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10, help="measure at least so long")
    parser.add_argument("--examples", type=int, default=0, help="measure so many examples instead, in whole batches")
    parser.add_argument("--batch", type=int, default=0, help="examples at a time; 0: tries some and takes the fastest")
    if extra:
        extra(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def load(options, attention="sdpa"):
    """sdpa is the faster attention of the two that run on a processor; vmap has no rule for it and is faster with eager."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = AutoModelForSequenceClassification.from_pretrained(options.model, dtype=torch.float32, attn_implementation=attention)
    return model.eval()


def read(options):
    with open(options.data) as file:
        return [json.loads(line) for line in file if line.strip()]


def collate(lines, numbers):
    """Token ids padded to the right, labels, and one uniform random number an example; the mask is None where nothing is padded."""
    width = max(len(line["input_ids"]) for line in lines)
    ids = torch.zeros(len(lines), width, dtype=torch.long)
    mask = torch.zeros(len(lines), width, dtype=torch.long)
    for row, line in enumerate(lines):
        length = len(line["input_ids"])
        ids[row, :length] = torch.tensor(line["input_ids"])
        mask[row, :length] = 1
    labels = torch.tensor([line["label"] for line in lines])
    # The number belongs to the example, so that every way of computing draws the same label.
    uniform = torch.tensor([torch.rand((), generator=torch.Generator().manual_seed(n)).item() for n in numbers])
    return {"ids": ids, "mask": None if mask.all() else mask, "labels": labels, "uniform": uniform}


def batches(lines, size):
    """Whole batches, over and over."""
    if len(lines) < size:
        sys.exit(f"{len(lines)} lines of data do not fill a batch of {size}")
    made = [
        collate(lines[first : first + size], range(first, first + size)) for first in range(0, len(lines) - size + 1, size)
    ]
    return itertools.cycle(made)


def rate(step, lines, size, seconds, examples=0):
    """Times `step(batch)` after one batch that does not count: examples, seconds, and examples per second of all and of the fastest batch."""
    source = batches(lines, size)
    step(next(source))
    done, elapsed, shortest = 0, 0.0, float("inf")
    while done < examples if examples else elapsed < seconds:
        start = time.perf_counter()
        step(next(source))
        took = time.perf_counter() - start
        done, elapsed, shortest = done + size, elapsed + took, min(shortest, took)
    return {"examples": done, "seconds": elapsed, "examples_per_second": done / elapsed, "best_examples_per_second": size / shortest}


def fastest(step, lines, sizes, options):
    """The batch size asked for, or the fastest of `sizes`, each tried for a tenth of the time."""
    if options.batch:
        return options.batch
    sizes = [size for size in sizes if size <= len(lines)]
    return max(sizes, key=lambda size: rate(step, lines, size, options.seconds / 10)["best_examples_per_second"])


def report(options, **facts):
    """One line of JSON. Peak resident memory in MB (10⁶ bytes); Linux counts it in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    print(json.dumps({**facts, "threads": options.threads, "peak_rss_mb": round(peak), "torch": torch.__version__}), flush=True)


def measure(options, step, lines, size, **facts):
    figures = rate(step, lines, size, options.seconds, options.examples)
    report(options, **facts, batch=size, **{name: round(value, 3) for name, value in figures.items()})
