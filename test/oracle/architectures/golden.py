"""One golden folder: a tiny random model as transformers saves it, and what PyTorch makes of a few examples."""

import contextlib
import copy
import json
import math
import pathlib
import tempfile
import zlib

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy, log_softmax

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens" / "architectures"
IGNORED = -100
# The largest difference between the padded batch and one example at a time that float64 may leave.
SAME = 1e-10
# A flag that moves the logits by less has not been exercised: a test allows 1e-4.
MOVES = 4e-4

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


@contextlib.contextmanager
def widened():
    """Transformers casts to float32 where it would widen half precision; in a float64 model these casts would narrow."""
    kept = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = kept


def fresh_rotary(model):
    """Rotary frequencies of the precision in force; those of dynamic scaling remember the longest sequence so far."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if hasattr(child, "inv_freq"):
                setattr(parent, name, type(child)(child.config))


def perturb(model, seed, scale):
    """No parameter keeps a value that would hide it: biases are not zero, norms are not one, padding rows are not empty."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        last = name.rsplit(".", 1)[-1]
        if last == "bias":
            value = 0.2 * noise
        elif parameter.dim() == 1:
            value = 1 + 0.3 * noise
        else:
            value = scale * noise
        parameter.data.copy_(value)


def stored(model, tensors):
    """Values of parameters under the names that the weights have in the file: written by the same writer, as if they were weights."""
    clone = copy.deepcopy(model)
    for parameter, value in zip(clone.parameters(), tensors, strict=True):
        parameter.data = value.detach().to(torch.float32).clone()
    with tempfile.TemporaryDirectory() as folder:
        clone.save_pretrained(folder)
        return load_file(pathlib.Path(folder) / "model.safetensors")


class Task:
    """How a model is called on one example, and what its loss is."""

    def __init__(self, name):
        self.name = name
        self.classifies = name in ("sequence_classification", "image_classification")

    def collate(self, model, examples, dtype=torch.float32):
        """A batch padded to the right."""
        if self.name == "image_classification":
            return {"pixel_values": torch.stack([e["pixel_values"] for e in examples]).to(dtype)}
        batch = {}
        width = max(len(e["input_ids"]) for e in examples)
        pad = model.config.pad_token_id or 0

        def rows(key, fill):
            return torch.tensor([list(e[key]) + [fill] * (width - len(e[key])) for e in examples])

        batch["input_ids"] = rows("input_ids", pad)
        batch["attention_mask"] = torch.tensor([[int(i < len(e["input_ids"])) for i in range(width)] for e in examples])
        if "token_type_ids" in examples[0]:
            batch["token_type_ids"] = rows("token_type_ids", 0)
        if self.name == "seq2seq_lm":
            longest = max(len(e["labels"]) for e in examples)
            labels = torch.tensor([e["labels"] + [IGNORED] * (longest - len(e["labels"])) for e in examples])
            batch["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)
        return batch

    def targets(self, example):
        """(position, label) of every prediction."""
        labels = example.get("labels", example.get("input_ids"))
        if self.name == "causal_lm":
            return [(t - 1, y) for t, y in enumerate(labels) if t > 0 and y != IGNORED]
        return [(t, y) for t, y in enumerate(labels) if y != IGNORED]

    def losses(self, logits, example):
        """One loss for a classifier, one for each predicted token of a language model. `logits` of one example."""
        if self.classifies:
            return [cross_entropy(logits, torch.tensor(example["label"]))]
        return [cross_entropy(logits[t], torch.tensor(y)) for t, y in self.targets(example)]


def forward(model, task, examples):
    exact = next(model.parameters()).dtype == torch.float64
    with widened() if exact else contextlib.nullcontext():
        fresh_rotary(model)
        return model(**task.collate(model, examples, torch.float64 if exact else torch.float32)).logits


def one_logits(model, task, example):
    return forward(model, task, [example])[0]


def gradient(model, loss, keep=True):
    parameters = list(model.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found)]


def accumulate(total, gradients, weight, power):
    for one, value in zip(total, gradients, strict=True):
        one.add_(value**power, alpha=weight)


def measure(model, task, examples, per_token=False):
    """Logits of each example, summed loss gradient and diagonal Fishers, one example at a time."""

    def zeros():
        return [torch.zeros_like(p) for p in model.parameters()]

    logits, nll = [], []
    tables = {"gradient": zeros(), "fisher.observed": zeros()}
    if task.classifies:
        tables["fisher.exact"] = zeros()
    if per_token:
        tables["fisher.per_token"] = zeros()
    tokens = sum(1 if task.classifies else len(task.targets(e)) for e in examples)
    for example in examples:
        out = one_logits(model, task, example)
        losses = task.losses(out, example)
        loss = torch.stack(losses).sum()
        observed = gradient(model, loss)
        accumulate(tables["gradient"], observed, 1, 1)
        accumulate(tables["fisher.observed"], observed, 1 / len(examples), 2)
        if task.classifies:
            logs = log_softmax(out, -1)
            for y in range(len(logs)):
                weight = math.exp(logs[y].item()) / len(examples)
                accumulate(tables["fisher.exact"], gradient(model, -logs[y]), weight, 2)
        if per_token:
            for one in losses:
                accumulate(tables["fisher.per_token"], gradient(model, one), 1 / tokens, 2)
        logits.append(out.detach())
        nll.append(loss.detach())
    return logits, torch.stack(nll), tables


def padded(logits):
    """Rows of positions, zeros where an example has none."""
    if logits[0].dim() == 1:
        return torch.stack(logits)
    width = max(len(one) for one in logits)
    return torch.stack([torch.nn.functional.pad(one, (0, 0, 0, width - len(one))) for one in logits])


def load(cls, folder, dtype):
    # A flag may be read while tensors are mapped by name: only from_pretrained gives what a user would get.
    return cls.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def with_config(cls, folder, change):
    """The model of the same weights under another configuration."""
    with tempfile.TemporaryDirectory() as other:
        other = pathlib.Path(other)
        (other / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
        config = change(json.loads((folder / "config.json").read_text()))
        (other / "config.json").write_text(json.dumps(config))
        return load(cls, other, torch.float64)


def worst(pairs):
    return max((float((a.double() - b.double()).abs().max()) for a, b in pairs), default=0.0)


def relative(exact, rough):
    """The largest error of a tensor over its largest value; tensors that vanish in exact arithmetic are left out."""
    found = 0.0
    for name, value in exact.items():
        size = float(value.abs().max())
        if size > 1e-9:
            found = max(found, float((value - rough[name]).abs().max()) / size)
    return found


def compact(value):
    """JSON with lists of numbers on one line."""
    text = json.dumps(value, indent=1)
    out, depth, line = [], 0, ""
    for part in text.split("\n"):
        stripped = part.strip()
        if depth and stripped[0] not in "[{":
            line += stripped + (" " if stripped.endswith(",") else "")
            if stripped[0] == "]":
                depth = 0
                out.append(line.rstrip())
        elif stripped.endswith("[") and not stripped.endswith("[["):
            depth, line = 1, part
        else:
            if depth:
                out.append(line)
                depth = 0
                if stripped.endswith("["):
                    depth, line = 1, part
                    continue
            out.append(part)
    return "\n".join(out) + "\n"


def write(name, cls, config, task, examples, describes, flags=None, idle=(), old_keys=None, notes=(), per_token=False, batch=True, scale=0.4, prepare=None):
    """
    Writes GOLDENS/name. `flags`: what this case exercises, each with the other value it might have: the logits must differ under
    it (None: not comparable, the weights have other shapes). `idle`: flags given that must not move the logits. `old_keys`: makes
    the configuration that older versions of transformers wrote. `batch`: whether padding must leave the logits as they are.
    `prepare` changes the new model where its configuration cannot say it.
    """
    task = Task(task)
    seed = zlib.crc32(name.encode())
    folder = GOLDENS / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = cls._from_config(config, attn_implementation="eager").eval()
    if prepare:
        prepare(model)
    perturb(model, seed, scale)
    model.save_pretrained(folder)

    weights = load_file(folder / "model.safetensors")
    rough_model = load(cls, folder, torch.float32)
    assert {k: v.shape for k, v in stored(rough_model, list(rough_model.parameters())).items()} == {
        k: v.shape for k, v in weights.items()
    }
    rough_logits, _, rough_tables = measure(rough_model, task, examples)

    model = load(cls, folder, torch.float64)
    assert all(p.dtype == torch.float64 for p in model.parameters())
    logits, nll, tables = measure(model, task, examples, per_token)
    # Padding contributes nothing.
    if batch:
        together = forward(model, task, examples).detach()
        alone = [(together[i, : len(one)] if one.dim() == 2 else together[i], one) for i, one in enumerate(logits)]
        assert worst(alone) < SAME, f"{name}: padding moves the logits by {worst(alone)}"

    def moved(change):
        other = with_config(cls, folder, change)
        return worst((one_logits(other, task, e).detach(), one) for e, one in zip(examples, logits))

    effects = {}
    for flag, other in (flags or {}).items():
        entry = {"value": plain(config.to_dict().get(flag))}
        if other is not None:
            other = None if other == "null" else other
            difference = moved(lambda c, flag=flag, other=other: {**c, flag: other})
            assert difference > MOVES, f"{name}: {flag} moves the logits by {difference} only"
            entry |= {"otherwise": other, "difference": float(f"{difference:.3g}")}
        effects[flag] = entry
    for flag, other in dict(idle).items():
        difference = moved(lambda c, flag=flag, other=other: {**c, flag: other})
        assert difference < SAME, f"{name}: {flag} moves the logits by {difference}"
        effects[flag] = {"value": plain(config.to_dict().get(flag)), "otherwise": other, "difference": 0}

    old_path = folder / "config.old-keys.json"
    old_path.unlink(missing_ok=True)
    if old_keys:
        old = old_keys(json.loads((folder / "config.json").read_text()))
        assert moved(lambda _: old) == 0, f"{name}: the old keys say something else"
        old_path.write_text(json.dumps(old, indent=2) + "\n")

    named = {table: stored(rough_model, values) for table, values in tables.items()}
    rough_named = {table: stored(rough_model, values) for table, values in rough_tables.items()}
    vanishing = [k for k, v in named["gradient"].items() if float(v.abs().max()) < 1e-9]

    out = {"logits": padded(logits).float(), "nll": nll.float()}
    inputs = task.collate(model, examples)
    out |= {f"input.{k}": v for k, v in inputs.items()}
    if task.classifies:
        out["input.labels"] = torch.tensor([e["label"] for e in examples])
    else:
        out["tokens"] = torch.tensor([len(task.targets(e)) for e in examples])
        rows = [e.get("labels", e["input_ids"]) for e in examples]
        width = max(map(len, rows))
        out["input.labels"] = torch.tensor([list(r) + [IGNORED] * (width - len(r)) for r in rows])
    out |= {f"{table}.{k}": v for table, values in named.items() for k, v in values.items()}
    save_file({k: v.contiguous() for k, v in out.items()}, folder / "golden.safetensors")

    agreement = {
        "logits": worst(zip(rough_logits, logits)),
        **{table: relative(named[table], rough_named[table]) for table in rough_named},
    }
    description = {
        "describes": describes,
        "class": cls.__name__,
        "task": task.name,
        "made_with": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "seed": seed},
        "flags": effects,
        "notes": list(notes),
        "vanishing": vanishing,
        "float32": {k: float(f"{v:.2g}") for k, v in agreement.items()},
        "examples": [{k: v for k, v in e.items() if k != "pixel_values"} for e in examples],
    }
    (folder / "golden.json").write_text(compact(description))
    size = sum(p.stat().st_size for p in folder.iterdir())
    told = " ".join(f"{k} {v:.1e}" for k, v in agreement.items())
    print(f"{name}: {size / 1000:.0f} kB, {len(weights)} tensors, float32 against float64: {told}", flush=True)


def plain(value):
    return value if isinstance(value, (int, float, str, bool, list, dict, type(None))) else str(value)


def sequences(seed, vocab, lengths, avoid=(), labels=None, types=0):
    """Random token ids, and class labels in turn. `avoid`: ids that must not occur."""
    generator = torch.Generator().manual_seed(seed)
    allowed = [i for i in range(vocab) if i not in avoid]

    def draw(n, values):
        return [values[int(i)] for i in torch.randint(len(values), (n,), generator=generator)]

    examples = []
    for k, length in enumerate(lengths):
        example = {"input_ids": draw(length, allowed)}
        # Repeated tokens: their gradients are summed before they are squared.
        if length > 3:
            example["input_ids"][2] = example["input_ids"][0]
        if types:
            example["token_type_ids"] = sorted(draw(length, range(types)))
        if labels:
            example["label"] = (k + 1) % labels
        examples.append(example)
    return examples


def masked(examples, mask_id, vocab):
    """Every third token is predicted: masked, or kept, or another one."""
    out = []
    for k, example in enumerate(examples):
        ids, labels = list(example["input_ids"]), [IGNORED] * len(example["input_ids"])
        for n, t in enumerate(range(k % 3, len(ids), 3)):
            labels[t] = ids[t]
            ids[t] = [mask_id, ids[t], (ids[t] + 7) % (vocab - 5) + 5][n % 3]
        out.append({**example, "input_ids": ids, "labels": labels})
    return out
