"""Writes test/goldens/operators.json: operators of neural networks and their derivatives as PyTorch computes them in float64.

Made with Python 3.11 and torch 2.15.0. Run: python test/oracle/operators.py

Each case: `inputs` and `output` as {shape, values} in row-major order, a `cotangent` of the output's shape, and `gradients`: of
Σ cotangent · output with respect to the inputs that have one. `squares`, where a case has it: for each parameter the sum over the
examples (axis 0 of the output) of the square of the gradient of that example's part of the sum, which is what a diagonal Fisher adds up.
Integer inputs (ids, labels, masks of 0 and 1) have no gradient.
"""

import json
import math
import pathlib

import torch
from torch.nn import functional as F

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(20240711)
cases = []


def normal(*shape, scale=1.0, shift=0.0):
    # Five digits are enough to be hard and few enough to be read.
    return (torch.randn(shape, generator=generator, dtype=torch.float64) * scale + shift).mul(1e5).round().div(1e5)


def integers(values):
    return torch.tensor(values, dtype=torch.int64)


def written(tensor):
    return {"shape": list(tensor.shape), "values": tensor.detach().flatten().tolist()}


def case(name, function, inputs, attributes=None, parameters=(), smooth=True):
    """`parameters`: the inputs whose squares are taken for each example; the others then have the examples on axis 0."""
    inputs = {k: v if isinstance(v, torch.Tensor) else torch.tensor(v, dtype=torch.float64) for k, v in inputs.items()}
    leaves = {k: v.clone().requires_grad_() for k, v in inputs.items() if v.is_floating_point()}
    output = function(**{**inputs, **leaves})
    assert torch.isfinite(output).all(), name
    cotangent = normal(*output.shape)
    gradients = torch.autograd.grad((cotangent * output).sum(), list(leaves.values()), retain_graph=True)
    entry = {
        "name": name,
        "attributes": attributes or {},
        "inputs": {k: written(v) for k, v in inputs.items()},
        "output": written(output),
        "cotangent": written(cotangent),
        "gradients": {k: written(g) for k, g in zip(leaves, gradients)},
    }
    if parameters:
        squares = {k: torch.zeros_like(inputs[k]) for k in parameters}
        for n in range(len(output)):
            part = torch.autograd.grad((cotangent[n] * output[n]).sum(), [leaves[k] for k in parameters], retain_graph=True)
            for k, g in zip(parameters, part):
                squares[k] += g * g
        entry["squares"] = {k: written(v) for k, v in squares.items()}
    # Finite differences: a slip in this file is not to become a golden.
    if smooth and all(v.is_floating_point() for v in inputs.values()):
        assert torch.autograd.gradcheck(lambda *a: function(*a), tuple(leaves.values())), name
    cases.append(entry)


def matrices():
    case("matmul", lambda a, b: a @ b, {"a": normal(3, 4), "b": normal(4, 2)})
    case("matmul batched", lambda a, b: a @ b, {"a": normal(2, 3, 4), "b": normal(2, 4, 5)})
    case("matmul of a batch and a matrix", lambda a, b: a @ b, {"a": normal(2, 3, 4), "b": normal(4, 5)}, parameters=["b"])
    case("matmul of heads", lambda a, b: a @ b, {"a": normal(2, 2, 3, 4), "b": normal(2, 2, 4, 3)})
    case("matmul of one head for two", lambda a, b: a @ b, {"a": normal(2, 2, 3, 4), "b": normal(2, 1, 4, 3)})
    case(
        "matmul with the second transposed",
        lambda a, b: a @ b.transpose(-1, -2),
        {"a": normal(2, 3, 4), "b": normal(2, 5, 4)},
        {"transposeA": False, "transposeB": True},
    )
    case(
        "matmul with the first transposed",
        lambda a, b: a.transpose(-1, -2) @ b,
        {"a": normal(2, 4, 3), "b": normal(2, 4, 5)},
        {"transposeA": True, "transposeB": False},
    )
    case(
        "matmul with both transposed",
        lambda a, b: a.transpose(-1, -2) @ b.transpose(-1, -2),
        {"a": normal(2, 4, 3), "b": normal(2, 5, 4)},
        {"transposeA": True, "transposeB": True},
    )
    case("linear", F.linear, {"input": normal(2, 3, 4), "weight": normal(5, 4), "bias": normal(5)}, parameters=["weight", "bias"])
    case("linear without bias", F.linear, {"input": normal(3, 4), "weight": normal(2, 4)}, parameters=["weight"])
    case(
        "linear with the weight stored as [in, out]",
        lambda input, weight, bias: input @ weight + bias,
        {"input": normal(2, 3, 4), "weight": normal(4, 5), "bias": normal(5)},
        parameters=["weight", "bias"],
    )


def norms():
    for eps in (1e-12, 0.1):
        case(
            "layer_norm",
            lambda input, weight, bias, eps=eps: F.layer_norm(input, input.shape[-1:], weight, bias, eps),
            {"input": normal(2, 3, 5, scale=0.5, shift=0.3), "weight": normal(5, shift=1), "bias": normal(5)},
            {"eps": eps},
            ["weight", "bias"],
        )
        case(
            "rms_norm",
            lambda input, weight, eps=eps: F.rms_norm(input, input.shape[-1:], weight, eps),
            {"input": normal(2, 3, 5, scale=0.5, shift=0.3), "weight": normal(5, shift=1)},
            {"eps": eps},
            ["weight"],
        )


def softmaxes():
    case("softmax", lambda input: F.softmax(input, -1), {"input": normal(2, 3, 4)}, {"axis": -1})
    case("softmax", lambda input: F.softmax(input, 1), {"input": normal(2, 3, 4)}, {"axis": 1})
    # Without subtracting the largest value these overflow.
    large = [[1000.0, 999.0, 990.0], [-800.0, -801.5, -2000.0]]
    case("softmax", lambda input: F.softmax(input, -1), {"input": large}, {"axis": -1})
    case("log_softmax", lambda input: F.log_softmax(input, -1), {"input": normal(2, 3, 4)}, {"axis": -1})
    case("log_softmax", lambda input: F.log_softmax(input, -1), {"input": large}, {"axis": -1})


def activations():
    points = [-12.0, -6.0, -3.1, -1.7, -0.75, -1e-3, 1e-3, 0.5, 1.3, 2.9, 6.0, 12.0]
    for name, function, attributes in (
        ("gelu", F.gelu, {"approximate": "none"}),
        ("gelu", lambda input: F.gelu(input, approximate="tanh"), {"approximate": "tanh"}),
        ("silu", F.silu, {}),
        ("relu", F.relu, {}),
        ("tanh", torch.tanh, {}),
        ("sigmoid", torch.sigmoid, {}),
    ):
        case(name, lambda input, function=function: function(input), {"input": [points, points[::-1]]}, attributes)
    # PyTorch takes 0 as the derivative of relu at 0, where finite differences would say one half.
    case("relu at zero", F.relu, {"input": [-0.5, 0.0, 2.0]}, smooth=False)


def tables():
    case(
        "embedding with repeated ids",
        lambda ids, weight: F.embedding(ids, weight),
        {"ids": integers([[1, 3, 1, 0], [2, 2, 2, 4]]), "weight": normal(5, 3)},
        parameters=["weight"],
    )
    logits = normal(4, 3)
    case(
        "cross_entropy of each row",
        lambda logits, labels: F.cross_entropy(logits, labels, reduction="none"),
        {"logits": logits, "labels": integers([2, 0, 1, 1])},
        {"reduction": "none"},
    )
    case(
        "cross_entropy with ignored labels",
        lambda logits, labels: F.cross_entropy(logits, labels, reduction="none", ignore_index=-100),
        {"logits": logits, "labels": integers([2, -100, 1, -100])},
        {"reduction": "none", "ignore_index": -100},
    )
    case(
        "cross_entropy, summed",
        lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum").reshape(1),
        {"logits": [[30.0, -20.0, 5.0], [-700.0, 10.0, 0.5]], "labels": integers([1, 0])},
        {"reduction": "sum"},
    )


def images():
    for attributes in (
        {"stride": [1, 1], "padding": [0, 0]},
        {"stride": [2, 2], "padding": [1, 1]},
        {"stride": [2, 1], "padding": [0, 2]},
    ):
        case(
            "conv2d",
            lambda input, weight, bias, a=attributes: F.conv2d(input, weight, bias, a["stride"], a["padding"]),
            {"input": normal(2, 2, 5, 4), "weight": normal(3, 2, 3, 2), "bias": normal(3)},
            attributes,
            ["weight", "bias"],
        )
    case(
        "conv2d of patches without bias",
        lambda input, weight: F.conv2d(input, weight, stride=[2, 2]),
        {"input": normal(2, 3, 4, 4), "weight": normal(2, 3, 2, 2)},
        {"stride": [2, 2], "padding": [0, 0]},
        ["weight"],
    )
    for attributes in (
        {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]},
        {"kernel": [3, 2], "stride": [1, 2], "padding": [1, 1]},
    ):
        a = attributes
        case("max_pool2d", lambda input, a=a: F.max_pool2d(input, a["kernel"], a["stride"], a["padding"]), {"input": normal(2, 2, 4, 5)}, attributes)
        case(
            "avg_pool2d",
            lambda input, a=a: F.avg_pool2d(input, a["kernel"], a["stride"], a["padding"]),
            {"input": normal(2, 2, 4, 5)},
            {**attributes, "count_include_pad": True},
        )


def attention():
    def masked(query, key, value, mask, scale):
        scores = query @ key.transpose(-1, -2) * scale
        return torch.softmax(scores.masked_fill(mask[:, None] == 0, -math.inf), -1) @ value

    shapes = {"query": normal(2, 2, 3, 4), "key": normal(2, 2, 3, 4), "value": normal(2, 2, 3, 4)}
    padding = integers([[[1, 1, 1]] * 3, [[1, 1, 0]] * 3])
    causal = integers([[[1, 0, 0], [1, 1, 0], [1, 1, 1]], [[1, 0, 0], [1, 1, 0], [1, 1, 0]]])
    for name, mask in (("with padding", padding), ("causal with padding", causal)):
        case(
            f"attention {name}",
            lambda query, key, value, mask: masked(query, key, value, mask, 0.5),
            {**shapes, "mask": mask},
            {"scale": 0.5},
        )


for group in (matrices, norms, softmaxes, activations, tables, images, attention):
    group()

target = pathlib.Path(__file__).parents[1] / "goldens" / "operators.json"
lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
target.write_text(f'{{"torch":"{torch.__version__.split("+")[0]}","cases":[\n{lines}\n]}}\n')
print(f"{len(cases)} cases, {target.stat().st_size / 1000:.0f} kB")
