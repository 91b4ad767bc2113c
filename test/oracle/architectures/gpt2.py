"""GPT-2: causal language modelling and sequence classification."""

from golden import IGNORED, sequences, write
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel


def config(**changes):
    return GPT2Config(
        **{
            "vocab_size": 40,
            "n_embd": 8,
            "n_layer": 2,
            "n_head": 2,
            "n_positions": 12,
            "bos_token_id": 39,
            "eos_token_id": 39,
            **changes,
        }
    )


def older(config):
    """As transformers 4 wrote it."""
    kept = {k: v for k, v in config.items() if k not in ("dtype", "tie_word_embeddings", "add_cross_attention", "pad_token_id")}
    return {**kept, "torch_dtype": "float32", "n_ctx": config["n_positions"], "transformers_version": "4.38.2"}


def lm(case, describes, seed, examples=None, **options):
    made = config(**options.pop("config", {}))
    examples = examples or sequences(seed, made.vocab_size, [6, 10, 2, 7])
    write(f"gpt2-{case}", GPT2LMHeadModel, made, "causal_lm", examples, describes, **options)


def classify(case, describes, seed, examples=None, labels=2, **options):
    made = config(**options.pop("config", {}))
    examples = examples or sequences(seed, made.vocab_size, [6, 10, 3, 1], avoid=[made.pad_token_id], labels=labels)
    write(f"gpt2-{case}", GPT2ForSequenceClassification, made, "sequence_classification", examples, describes, **options)


def generate():
    lm(
        "causal",
        "GPT-2 with hidden size 16 and gelu_new; the head is the token embedding.",
        41,
        config={"vocab_size": 64, "n_embd": 16, "n_head": 4, "n_inner": 24},
        flags={"n_head": 2, "n_inner": None, "tie_word_embeddings": None},
        idle={"reorder_and_upcast_attn": True},
        notes=["Weights of attn and mlp are stored as [in, out].", "Both uses of the token embedding are summed before squaring."],
        per_token=True,
        old_keys=older,
    )
    lm("causal-untied", "The head has weights of its own; the inner size is four times the hidden one.", 42, config={"tie_word_embeddings": False}, flags={"tie_word_embeddings": None, "n_inner": None})
    lm("causal-relu", "The feed-forward layers use relu.", 43, config={"activation_function": "relu", "n_inner": 16}, flags={"activation_function": "gelu_new"})
    lm("causal-gelu", "The feed-forward layers use the exact gelu.", 44, config={"activation_function": "gelu", "n_inner": 16}, flags={"activation_function": "gelu_new"}, scale=0.8)
    lm("causal-unscaled", "Attention scores are not divided by the root of the head size.", 45, config={"scale_attn_weights": False, "n_inner": 16}, flags={"scale_attn_weights": True})
    lm(
        "causal-inverse-layer",
        "Attention scores of layer i are also divided by i + 1.",
        46,
        config={"scale_attn_by_inverse_layer_idx": True, "n_inner": 16},
        flags={"scale_attn_by_inverse_layer_idx": False},
    )
    lm(
        "causal-inverse-layer-unscaled",
        "Attention scores are divided by i + 1 only; they are computed in float32 at least, which changes nothing here.",
        47,
        config={"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False, "reorder_and_upcast_attn": True, "n_inner": 16},
        flags={"scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True},
        idle={"reorder_and_upcast_attn": False},
    )
    lm("causal-epsilon", "A layer_norm_epsilon of 0.01.", 48, config={"layer_norm_epsilon": 0.01, "n_inner": 16}, flags={"layer_norm_epsilon": 1e-5})
    prompts = sequences(49, 40, [6, 10, 4, 7])
    for example, prompt in zip(prompts, [2, 5, 1, 6]):
        example["labels"] = [IGNORED] * prompt + example["input_ids"][prompt:]
    lm("causal-prompt", "Prompts are read but not predicted: their labels are -100.", 49, examples=prompts, config={"n_inner": 16})

    classify(
        "classify",
        "Sequence classification at the last token that is no padding.",
        51,
        config={"pad_token_id": 39, "n_inner": 16},
        flags={"num_labels": None},
    )
    classify(
        "classify-five",
        "Five labels.",
        52,
        labels=5,
        config={"num_labels": 5, "pad_token_id": 39, "n_inner": 16},
        flags={"num_labels": None},
    )
    classify(
        "classify-pad-attended",
        "Texts that end with, or hold, the padding token, attended to: the last token that is not it counts, whatever the attention mask says.",
        53,
        examples=[
            {"input_ids": [5, 39, 9, 5, 39], "label": 1},
            {"input_ids": [7, 8, 39, 39], "label": 0},
            {"input_ids": [39, 3, 4, 12, 9, 2], "label": 1},
        ],
        config={"pad_token_id": 39, "n_inner": 16},
        flags={"pad_token_id": "null"},
    )
    classify(
        "classify-no-pad",
        "No padding token is known: the last token counts. PyTorch took one text at a time.",
        54,
        config={"n_inner": 16},
        flags={"pad_token_id": None},
        batch=False,
    )
