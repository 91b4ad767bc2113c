"""ViT: image classification."""

import torch
from golden import write
from transformers import ViTConfig, ViTForImageClassification


def config(**changes):
    return ViTConfig(
        **{
            "image_size": 8,
            "patch_size": 4,
            "num_channels": 1,
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            **changes,
        }
    )


def classify(case, describes, seed, labels=2, **options):
    made = config(**options.pop("config", {}))
    size = made.image_size if isinstance(made.image_size, (list, tuple)) else (made.image_size, made.image_size)
    generator = torch.Generator().manual_seed(seed)
    examples = [
        {"pixel_values": torch.rand((made.num_channels, *size), generator=generator) * 2 - 1, "label": (k + 1) % labels} for k in range(4)
    ]
    write(f"vit-{case}", ViTForImageClassification, made, "image_classification", examples, describes, **options)


def older(config):
    """As transformers 4 wrote it."""
    kept = {k: v for k, v in config.items() if k not in ("dtype", "pooler_act", "pooler_output_size")}
    return {**kept, "torch_dtype": "float32", "transformers_version": "4.38.2"}


def generate():
    classify(
        "classify",
        "ViT for images of three channels, hidden size 16, two labels; the head reads the class token after the last norm, without a pooler.",
        121,
        config={"num_channels": 3, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4},
        flags={"num_attention_heads": 2, "num_channels": None},
        old_keys=older,
    )
    classify("classify-five", "One channel, five labels.", 122, labels=5, config={"num_labels": 5}, flags={"num_labels": None, "num_channels": None})
    classify("classify-no-qkv-bias", "Queries, keys and values have no biases.", 123, config={"qkv_bias": False}, flags={"qkv_bias": None})
    classify("classify-patch", "Patches of 2 by 2.", 124, config={"patch_size": 2}, flags={"patch_size": None})
    classify("classify-relu", "The feed-forward layers use relu.", 125, config={"hidden_act": "relu"}, flags={"hidden_act": "gelu"})
    classify("classify-gelu-new", "The feed-forward layers use gelu_new.", 126, config={"hidden_act": "gelu_new"}, flags={"hidden_act": "gelu"}, scale=0.8)
    classify("classify-epsilon", "A layer_norm_eps of 0.1.", 127, config={"layer_norm_eps": 0.1}, flags={"layer_norm_eps": 1e-12})
    classify(
        "classify-oblong",
        "Images of 8 by 12 pixels (height, width) and patches of 4 by 2: both sizes are lists.",
        128,
        config={"image_size": [8, 12], "patch_size": [4, 2]},
        flags={"image_size": None, "patch_size": None},
    )
