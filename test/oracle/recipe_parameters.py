"""Writes test/goldens/recipe-parameters.json: the parameters of tensors as mergekit resolves them.

Made with Python 3.11 and mergekit 0.1.5. Run: python test/oracle/recipe_parameters.py

Each case is a recipe; for each tensor the values by model (a base may lack them) and those of the merge as a
whole. `layer` is [index, count], or null outside the layers; t is formed as mergekit's planner forms it.
"""

import json
import pathlib

import yaml
from mergekit import merge_methods
from mergekit.config import ConfigReader, MergeConfiguration, OutputSliceDefinition
from mergekit.parameter_resolver import resolve_parameters

COUNT = 7
TENSORS = [
    ("model.embed_tokens.weight", None),
    *[
        (f"model.layers.{i}.{part}.weight", [i, COUNT])
        for i in range(COUNT)
        for part in ("self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj", "input_layernorm")
    ],
    ("encoder.layer.0.output.dense.weight", [0, 1]),
    ("model.norm.weight", None),
    ("lm_head.weight", None),
]

RECIPES = {
    "scalars": """
merge_method: linear
models:
- {model: a, parameters: {weight: 0.1}}
- {model: b, parameters: {weight: 1.0e-5}}
- {model: c}
parameters: {weight: -3, normalize: false}
""",
    "lists of every length": """
merge_method: linear
models:
- {model: a, parameters: {weight: [0.7]}}
- {model: b, parameters: {weight: [0, 1]}}
- {model: c, parameters: {weight: [0.1, 0.7, 0.3]}}
- {model: d, parameters: {weight: [1, -0.2, 0.3, 0.9]}}
- {model: e, parameters: {weight: [1, 2, 3, 4, 5, 6, 7]}}
- {model: f, parameters: {weight: [0.3, 0.1, 0.4, 0.1, 0.5, 0.9, 0.2, 0.6, 0.5, 0.35]}}
""",
    "filters, the first match counts": """
merge_method: linear
models:
- model: a
  parameters:
    weight:
    - {filter: proj, value: 0.25}
    - {filter: self_attn, value: 0.5}
    - {filter: "*", value: 1}
    - {filter: norm, value: 2}
- model: b
  parameters:
    weight:
    - {filter: layers.1, value: 0.9}
    - {filter: mlp, value: [0, 0.3, 0.5, 0.8]}
    - {filter: null, value: [1, 2]}
- model: c
  parameters:
    weight: {filter: self_attn, value: [0.2, 0.4]}
parameters:
  weight: [5, 6]
  normalize:
  - {filter: norm, value: false}
  - {value: true}
""",
    "what no filter matches goes to the next scope": """
merge_method: ties
base_model: base
models:
- model: a
  parameters:
    weight: [{filter: q_proj, value: 0.1}]
    density: [{filter: o_proj, value: 0.2}]
- model: b
  parameters: {weight: 0.3}
- model: base
parameters:
  weight:
  - {filter: mlp, value: 0.4}
  - {value: [0.5, 0.7]}
  density: [{filter: layers, value: [0.9, 0.1]}]
  normalize: [{filter: lm_head, value: false}]
  lambda: [{filter: norm, value: 2}]
""",
    "one slice": """
merge_method: task_arithmetic
base_model: base
slices:
- sources:
  - {model: base, layer_range: [0, 7]}
  - {model: a, layer_range: [0, 7], parameters: {weight: [{filter: mlp, value: 0.1}]}}
  - {model: b, layer_range: [0, 7]}
  parameters:
    weight: [{filter: self_attn, value: [0, 1]}]
    lambda: [{filter: down, value: 0.5}]
parameters: {weight: 0.8, lambda: [1, 3], normalize: true}
""",
    "slerp": """
merge_method: slerp
base_model: a
models:
- {model: a}
- {model: b}
parameters:
  t:
  - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
  - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
  - {value: 0.5}
""",
}


def resolve(text):
    config = MergeConfiguration.model_validate(yaml.safe_load(text))
    method = merge_methods.get(config.merge_method)
    if config.models:
        sources = [
            {"model": entry.model, "layer_range": (0, COUNT), "parameters": entry.parameters}
            for entry in config.models
        ]
        out_slice = OutputSliceDefinition(sources=sources)
    else:
        (out_slice,) = config.slices
    models = [source.model for source in out_slice.sources]
    tensors = []
    for name, layer in TENSORS:
        t = 0 if layer is None else layer[0] / (layer[1] - 1) if layer[1] > 1 else 1
        reader = ConfigReader(config=config, t=t, slice_out=out_slice)
        whole, each = resolve_parameters(
            method.spec,
            tensor_name=name,
            inputs={model: name for model in models},
            sources=reader.parameter_sources,
            base_model=config.base_model,
            t=t,
        )
        tensors.append(
            {
                "name": name,
                "layer": layer,
                "models": {str(model): dict(each[model]) for model in models},
                "global": dict(whole),
            }
        )
    return {"recipe": text.lstrip(), "tensors": tensors}


cases = {name: resolve(text) for name, text in RECIPES.items()}
out = pathlib.Path(__file__).parent.parent / "goldens" / "recipe-parameters.json"
out.write_text(json.dumps({"mergekit": "0.1.5", "cases": cases}, separators=(",", ":")) + "\n")
