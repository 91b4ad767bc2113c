"""The diagonal Fisher of a two-or-more-class BERT in PyTorch, its labels sampled once from the model, all parameters: examples per second.

    python pytorch_fisher.py MODEL DATA --mode official|vmap|hooks [--threads T] [--seconds S | --examples N] [--batch B]
    python pytorch_fisher.py MODEL DATA --check [--examples N]

official: one example at a time, squares of .grad, as the method's authors wrote it.
vmap:     torch.func.vmap(grad), the gradients of B examples at once.
hooks:    as fast as we could make it: a batched forward pass; tensor hooks catch what enters and what comes back to each layer; for each
          example one matrix product into one buffer that all share, squared into the sum in place. Autograd forms no weight gradient.
--check:  how far the three are apart, by tensor, relative to its largest value; fails above 1e-5.
"""

import sys

import peer
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy, log_softmax, nll_loss, softmax

# Key biases move no probability: their gradients are rounding errors.
VANISHING = "attention.self.key.bias"


def sample(logits, uniform):
    """The label at which the distribution function passes the example's uniform number."""
    passed = softmax(logits.detach(), -1).cumsum(-1) < uniform.unsqueeze(-1)
    return passed[..., :-1].sum(-1)


def zeros(model):
    return {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}


class Official:
    attention = "sdpa"

    def __init__(self, model):
        self.model, self.fisher = model, zeros(model)
        self.sizes = [1]

    def __call__(self, batch):
        mask = batch["mask"]
        for n in range(len(batch["ids"])):
            length = batch["ids"].shape[1] if mask is None else int(mask[n].sum())
            self.model.zero_grad()
            logits = self.model(input_ids=batch["ids"][n : n + 1, :length]).logits
            cross_entropy(logits, sample(logits, batch["uniform"][n : n + 1])).backward()
            for name, parameter in self.model.named_parameters():
                self.fisher[name] += parameter.grad**2


class Vmap:
    attention = "eager"

    def __init__(self, model):
        self.model, self.fisher = model, zeros(model)
        self.sizes = [1, 2, 4, 8]
        self.parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
        self.buffers = dict(model.named_buffers())

        def loss(parameters, ids, mask, uniform):
            inputs = {"input_ids": ids[None], "attention_mask": None if mask is None else mask[None]}
            logits = functional_call(model, (parameters, self.buffers), kwargs=inputs).logits[0]
            return nll_loss(log_softmax(logits, -1), sample(logits, uniform))

        self.plain = vmap(grad(loss), in_dims=(None, 0, None, 0))
        self.masked = vmap(grad(loss), in_dims=(None, 0, 0, 0))

    def __call__(self, batch):
        mask = batch["mask"]
        if mask is not None:
            # Already as the attention adds it: making it looks at its values, which vmap forbids.
            mask = (1 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
        gradients = (self.plain if mask is None else self.masked)(self.parameters, batch["ids"], mask, batch["uniform"])
        for name in list(gradients):
            value = gradients.pop(name)
            self.fisher[name] += value.square_().sum(0)


class Hooks:
    """For BertForSequenceClassification: Linear, LayerNorm and the three embeddings that are summed into the first LayerNorm."""

    attention = "sdpa"

    def __init__(self, model):
        self.model, self.fisher = model, zeros(model)
        self.sizes = [1, 2, 4, 8, 16]
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        elements = max(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
        self.buffer = torch.empty(elements)
        seen = set()
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_hook(self.linear(name))
            elif isinstance(module, torch.nn.LayerNorm):
                module.register_forward_hook(self.norm(name))
            else:
                continue
            seen |= {f"{name}.weight", f"{name}.bias"}
        embeddings = model.bert.embeddings
        embeddings.LayerNorm.register_forward_pre_hook(self.embeddings)
        seen |= {f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")}
        if seen != set(self.fisher):
            sys.exit(f"no hook for {sorted(set(self.fisher) - seen)}")

    def __call__(self, batch):
        self.ids = batch["ids"]
        logits = self.model(input_ids=batch["ids"], attention_mask=batch["mask"]).logits
        cross_entropy(logits, sample(logits, batch["uniform"]), reduction="sum").backward()

    def linear(self, name):
        def forward(module, inputs, output):
            (entered,) = inputs
            entered = entered.detach()

            def backward(came):
                # The pooler and the classifier see one vector an example.
                left = came if came.dim() == 3 else came.unsqueeze(1)
                right = entered if entered.dim() == 3 else entered.unsqueeze(1)
                product = self.buffer[: module.weight.numel()].view_as(module.weight)
                for n in range(len(left)):
                    torch.mm(left[n].t(), right[n], out=product)
                    self.fisher[f"{name}.weight"].addcmul_(product, product)
                self.fisher[f"{name}.bias"].add_(left.sum(1).square_().sum(0))

            output.register_hook(backward)

        return forward

    def norm(self, name):
        def forward(module, inputs, output):
            (entered,) = inputs
            entered = entered.detach()

            def backward(came):
                normal = torch.nn.functional.layer_norm(entered, module.normalized_shape, eps=module.eps)
                self.fisher[f"{name}.weight"].add_(normal.mul_(came).sum(1).square_().sum(0))
                self.fisher[f"{name}.bias"].add_(came.sum(1).square_().sum(0))

            output.register_hook(backward)

        return forward

    def embeddings(self, module, inputs):
        (entered,) = inputs
        # No parameter asks for a gradient: here is where the graph begins.
        entered.requires_grad_(True)

        def backward(came):
            words, positions, kinds = (
                self.fisher[f"bert.embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
            )
            for n in range(len(came)):
                ids, place = self.ids[n].unique(return_inverse=True)
                # Tokens that occur twice in an example: summed before they are squared.
                rows = torch.zeros(len(ids), came.shape[2]).index_add_(0, place, came[n])
                words.index_add_(0, ids, rows.square_())
            positions[: came.shape[1]].add_(came.square().sum(0))
            kinds[0].add_(came.sum(1).square_().sum(0))

        entered.register_hook(backward)
        return (entered,)


MODES = {"official": Official, "vmap": Vmap, "hooks": Hooks}


def check(options, lines):
    lines = lines[: options.examples or 6]
    found = {}
    for name, mode in MODES.items():
        estimator = mode(peer.load(options, mode.attention))
        estimator(peer.collate(lines, range(len(lines))))
        found[name] = estimator.fisher
    errors = {}
    for name in ("vmap", "hooks"):
        errors[name] = 0.0
        for tensor, value in found["official"].items():
            if VANISHING not in tensor:
                error = float((found[name][tensor] - value).abs().max() / value.abs().max())
                errors[name] = max(errors[name], error)
    peer.report(options, bench="fisher", check=errors, examples=len(lines))
    if max(errors.values()) > 1e-5:
        sys.exit("they disagree")


def main():
    def extra(parser):
        parser.add_argument("--mode", choices=MODES)
        parser.add_argument("--check", action="store_true")

    options = peer.parse(__doc__, extra=extra)
    lines = peer.read(options)
    if options.check:
        return check(options, lines)
    if not options.mode:
        sys.exit("--mode official, vmap or hooks, or --check")
    mode = MODES[options.mode]
    estimator = mode(peer.load(options, mode.attention))
    size = peer.fastest(estimator, lines, estimator.sizes, options)
    peer.measure(options, estimator, lines, size, bench="fisher", mode=options.mode)


main()
