"""Gradient matching as the authors' script does it: whole state dicts in float32, one expression a parameter.

    python whole.py OUT BASE MODEL...      folders with model.safetensors and fisher.safetensors

theta = theta_0 + sum_t a_t (H_0 + H_t) (theta_t - theta_0) / (H_0 + sum_t a_t H_t), H = N F, a delta added to H_0.
"""

import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file

N = 10_000
DELTA = 1e-12
WEIGHTS = [1.0, 0.5, 0.25]


def load(folder, name):
    return {key: value.float() for key, value in load_file(pathlib.Path(folder) / name).items()}


def main(out, base, *models):
    theta_0, fisher_0 = load(base, "model.safetensors"), load(base, "fisher.safetensors")
    thetas = [load(model, "model.safetensors") for model in models]
    fishers = [load(model, "fisher.safetensors") for model in models]
    kept = load_file(pathlib.Path(base) / "model.safetensors")
    merged = {}
    for name, prior_theta in theta_0.items():
        prior = N * fisher_0[name] + DELTA
        step = torch.zeros_like(prior_theta)
        precision = prior.clone()
        for weight, theta, fisher in zip(WEIGHTS, thetas, fishers):
            curvature = N * fisher[name]
            step = step + weight * (prior + curvature) * (theta[name] - prior_theta)
            precision = precision + weight * curvature
        merged[name] = (prior_theta + step / precision).to(kept[name].dtype)
    pathlib.Path(out).mkdir()
    save_file(merged, pathlib.Path(out) / "model.safetensors")


main(*sys.argv[1:])
