"""Small networks of our own configuration, `gradmerge-mlp` and `gradmerge-cnn`: image classification."""

import json
import pathlib
import types
import zlib

import torch
from golden import GOLDENS, Task, compact, measure, padded, perturb, relative, worst
from safetensors.torch import save_file
from torch import nn

ACTIVATIONS = {"relu": torch.relu, "gelu": nn.functional.gelu, "silu": nn.functional.silu, "tanh": torch.tanh}


def pair(value):
    return tuple(value) if isinstance(value, list) else (value, value)


class Network(nn.Module):
    """The configuration as PyTorch's own layers; names of parameters as in the checkpoint."""

    def __init__(self, config):
        super().__init__()
        self.description = config
        self.activation = ACTIVATIONS[config["activation"]]
        image = config.get("image") or {"channels": 1, "height": 1, "width": config["input_size"]}
        size = (image["channels"], image["height"], image["width"])
        if "convolutions" in config:
            self.convolutions = nn.ModuleList()
            channels = size[0]
            for one in config["convolutions"]:
                self.convolutions.append(
                    nn.Conv2d(channels, one["channels"], pair(one["kernel"]), pair(one.get("stride", 1)), pair(one.get("padding", 0)))
                )
                channels = one["channels"]
        inputs = self.features(torch.zeros(1, *size)).shape[1]
        sizes = [inputs, *config["hidden_sizes"], config["num_labels"]]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.size = size

    def features(self, x):
        for described, layer in zip(self.description.get("convolutions", []), getattr(self, "convolutions", [])):
            x = self.activation(layer(x))
            window = pair(described.get("pool_size", 2))
            if described.get("pool") == "max":
                x = nn.functional.max_pool2d(x, window)
            elif described.get("pool") == "average":
                x = nn.functional.avg_pool2d(x, window)
        return x.flatten(1)

    def forward(self, pixel_values):
        x = self.features(pixel_values)
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return types.SimpleNamespace(logits=self.layers[-1](x))


def write(name, describes, config, seed):
    torch.manual_seed(zlib.crc32(name.encode()))
    rough = Network(config)
    # Weights are large enough for gradients that are not small, and biases for units that are not all on.
    perturb(rough, seed, 0.5)
    model = Network(config).double()
    model.load_state_dict({k: v.double() for k, v in rough.state_dict().items()})
    task = Task("image_classification")
    generator = torch.Generator().manual_seed(seed)
    examples = [
        {"pixel_values": torch.rand(rough.size, generator=generator) * 2 - 1, "label": (k + 1) % config["num_labels"]} for k in range(4)
    ]
    logits, nll, tables = measure(model, task, examples)
    rough_logits, _, rough_tables = measure(rough, task, examples)

    names = [k for k, _ in model.named_parameters()]
    named = {table: dict(zip(names, values)) for table, values in tables.items()}
    rough_named = {table: dict(zip(names, values)) for table, values in rough_tables.items()}
    out = {"logits": padded(logits), "nll": nll}
    out |= {f"{table}.{k}": v for table, values in named.items() for k, v in values.items()}
    out = {k: v.detach().float().contiguous() for k, v in out.items()}
    out["input.pixel_values"] = task.collate(rough, examples)["pixel_values"]
    out["input.labels"] = torch.tensor([e["label"] for e in examples])

    folder = pathlib.Path(GOLDENS) / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({k: v.detach().contiguous() for k, v in rough.named_parameters()}, folder / "model.safetensors")
    save_file(out, folder / "golden.safetensors")
    agreement = {"logits": worst(zip(rough_logits, logits)), **{table: relative(named[table], rough_named[table]) for table in named}}
    (folder / "golden.json").write_text(
        compact(
            {
                "describes": describes,
                "class": "torch.nn",
                "task": task.name,
                "made_with": {"torch": torch.__version__.split("+")[0], "seed": seed},
                "vanishing": [k for k, v in named["gradient"].items() if float(v.abs().max()) < 1e-9],
                "float32": {k: float(f"{v:.2g}") for k, v in agreement.items()},
                "examples": [{"label": e["label"]} for e in examples],
            }
        )
    )
    told = " ".join(f"{k} {v:.1e}" for k, v in agreement.items())
    print(f"{name}: {len(names)} tensors, float32 against float64: {told}", flush=True)


def mlp(case, describes, seed, **changes):
    config = {
        "model_type": "gradmerge-mlp",
        "image": {"channels": 1, "height": 3, "width": 4},
        "hidden_sizes": [6, 5],
        "activation": "relu",
        "num_labels": 3,
        **changes,
    }
    write(f"mlp-{case}", describes, {k: v for k, v in config.items() if v is not None}, seed)


def cnn(case, describes, seed, convolutions, **changes):
    config = {
        "model_type": "gradmerge-cnn",
        "image": {"channels": 2, "height": 7, "width": 6},
        "convolutions": convolutions,
        "hidden_sizes": [5],
        "activation": "relu",
        "num_labels": 3,
        **changes,
    }
    write(f"cnn-{case}", describes, config, seed)


def generate():
    mlp("relu", "Images of one channel, two hidden layers.", 201)
    mlp("linear", "No hidden layer: a linear classifier of images of three channels.", 202, hidden_sizes=[], image={"channels": 3, "height": 2, "width": 2})
    mlp("vector", "A vector of five numbers, tanh, two classes.", 203, image=None, input_size=5, activation="tanh", num_labels=2)
    mlp("gelu", "gelu, equal hidden layers.", 204, activation="gelu", hidden_sizes=[4, 4, 4])
    cnn(
        "max",
        "Two convolutions with max pooling, padding, and a hidden layer.",
        211,
        [{"channels": 4, "kernel": 3, "padding": 1, "pool": "max"}, {"channels": 3, "kernel": 2, "pool": "none"}],
    )
    cnn(
        "average",
        "Average pooling over oblong windows, oblong kernels and strides, silu, no hidden layer.",
        212,
        [{"channels": 4, "kernel": [3, 2], "stride": [1, 2], "padding": [0, 1], "pool": "average", "pool_size": [2, 1]}],
        activation="silu",
        hidden_sizes=[],
    )
    cnn("stride", "A convolution with a stride and no pooling, tanh.", 213, [{"channels": 3, "kernel": 3, "stride": 2}], activation="tanh")


if __name__ == "__main__":
    generate()
