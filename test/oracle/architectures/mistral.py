"""Mistral: causal language modelling and sequence classification, with and without a sliding window."""

from golden import sequences, write
from llama import older
from transformers import MistralConfig, MistralForCausalLM, MistralForSequenceClassification


def config(**changes):
    return MistralConfig(
        **{
            "vocab_size": 40,
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 32,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
            "sliding_window": 4,
            **changes,
        }
    )


def lm(case, describes, seed, **options):
    made = config(**options.pop("config", {}))
    write(f"mistral-{case}", MistralForCausalLM, made, "causal_lm", sequences(seed, made.vocab_size, [6, 10, 2, 7]), describes, **options)


def generate():
    lm(
        "causal",
        "Mistral with hidden size 16 and a sliding window of 4: a token sees itself and the three before it.",
        91,
        config={"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2},
        flags={"sliding_window": "null", "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
        old_keys=older(),
    )
    lm("causal-full", "No sliding window: sliding_window is null.", 92, config={"sliding_window": None}, flags={"sliding_window": 4}, old_keys=older())
    lm("causal-one", "A sliding window of 1: a token sees itself alone.", 93, config={"sliding_window": 1}, flags={"sliding_window": 2})
    lm("causal-wide", "A sliding window longer than the texts is without effect.", 94, config={"sliding_window": 16}, idle={"sliding_window": None})
    lm(
        "causal-head-dim",
        "Heads of size 6 although hidden size / heads is 4; tied embeddings, gelu, an rms_norm_eps of 0.01.",
        95,
        config={"head_dim": 6, "tie_word_embeddings": True, "hidden_act": "gelu", "rms_norm_eps": 0.01},
        flags={"head_dim": None, "tie_word_embeddings": None, "hidden_act": "silu", "rms_norm_eps": 1e-6},
    )
    made = config(pad_token_id=0, sliding_window=3)
    write(
        "mistral-classify",
        MistralForSequenceClassification,
        made,
        "sequence_classification",
        sequences(96, made.vocab_size, [6, 10, 3, 1], avoid=[0], labels=2),
        "Sequence classification at the last token that is no padding, with a sliding window of 3.",
        flags={"sliding_window": "null", "num_labels": None},
    )
