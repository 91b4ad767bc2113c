"""Qwen2: causal language modelling and sequence classification; queries, keys and values have biases, layers may have windows."""

from golden import sequences, write
from llama import older
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification


def config(**changes):
    return Qwen2Config(
        **{
            "vocab_size": 40,
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 32,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
            **changes,
        }
    )


def old(config):
    """As transformers 4 wrote it, which had no layer_types, and kept sliding_window also where it was not used."""
    before = older()({**config, "head_dim": config["hidden_size"] // config["num_attention_heads"]})
    kept = {k: v for k, v in before.items() if k != "layer_types"}
    return {**kept, "sliding_window": config["sliding_window"] or 4}


def lm(case, describes, seed, **options):
    made = config(**options.pop("config", {}))
    write(f"qwen2-{case}", Qwen2ForCausalLM, made, "causal_lm", sequences(seed, made.vocab_size, [6, 10, 2, 7]), describes, **options)


def generate():
    lm(
        "causal",
        "Qwen2 with hidden size 16, four heads that share two keys and values, no window.",
        101,
        config={"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2},
        flags={"num_key_value_heads": None, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
        idle={"sliding_window": 3, "max_window_layers": 0},
        old_keys=old,
    )
    lm(
        "causal-tied",
        "The head is the token embedding; relu, an rms_norm_eps of 0.01.",
        102,
        config={"tie_word_embeddings": True, "hidden_act": "relu", "rms_norm_eps": 0.01},
        flags={"tie_word_embeddings": None, "hidden_act": "silu", "rms_norm_eps": 1e-6},
    )
    lm(
        "causal-window",
        "use_sliding_window with a window of 3 from layer max_window_layers = 1 on: layer 0 sees all, layer 1 three tokens.",
        103,
        config={"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
        flags={"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
        idle={"max_window_layers": 0},
        notes=["Where layer_types is given it counts and max_window_layers does not; in config.old-keys.json max_window_layers counts."],
        old_keys=old,
    )
    lm(
        "causal-layer-types",
        "layer_types puts the window on layer 0 and none on layer 1, which max_window_layers cannot say.",
        104,
        config={
            "use_sliding_window": True,
            "sliding_window": 3,
            "max_window_layers": 1,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        flags={"sliding_window": 4, "layer_types": ["full_attention", "sliding_attention"]},
    )
    made = config(pad_token_id=0)
    write(
        "qwen2-classify",
        Qwen2ForSequenceClassification,
        made,
        "sequence_classification",
        sequences(105, made.vocab_size, [6, 10, 3, 1], avoid=[0], labels=2),
        "Sequence classification at the last token that is no padding.",
        flags={"num_labels": None},
    )
