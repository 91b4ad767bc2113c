"""Llama: causal language modelling and sequence classification."""

from golden import IGNORED, sequences, write
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification


def config(**changes):
    return LlamaConfig(
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


def older(tag="rope_type"):
    """As transformers 4 wrote it: rope_scaling, with the kind under `tag` (first "type", later "rope_type"), and rope_theta beside it."""

    def change(config):
        kept = {k: v for k, v in config.items() if k not in ("dtype", "rope_parameters", "pad_token_id", "head_dim")}
        if config["head_dim"] * config["num_attention_heads"] != config["hidden_size"]:
            kept["head_dim"] = config["head_dim"]
        scaling = dict(config["rope_parameters"])
        theta, kind = scaling.pop("rope_theta"), scaling.pop("rope_type")
        return {
            **kept,
            "rope_scaling": None if kind == "default" else {tag: kind, **scaling},
            "rope_theta": theta,
            "torch_dtype": "float32",
            "transformers_version": "4.43.0",
        }

    return change


def lm(case, describes, seed, examples=None, **options):
    made = config(**options.pop("config", {}))
    examples = examples or sequences(seed, made.vocab_size, [6, 10, 2, 7])
    write(f"llama-{case}", LlamaForCausalLM, made, "causal_lm", examples, describes, **options)


def rope(case, describes, seed, parameters, old=None, changes=None, theta=100.0, **options):
    plain = {"rope_type": "default", "rope_theta": theta}
    lm(
        f"rope-{case}",
        describes,
        seed,
        config={"head_dim": 8, "rope_parameters": {"rope_theta": theta, **parameters}, **(changes or {})},
        old_keys=older(old) if old else None,
        **{"flags": {"rope_parameters": plain}, **options},
    )


def classify(case, describes, seed, examples=None, labels=2, **options):
    made = config(**options.pop("config", {}))
    examples = examples or sequences(seed, made.vocab_size, [6, 10, 3, 1], avoid=[made.pad_token_id], labels=labels)
    write(f"llama-{case}", LlamaForSequenceClassification, made, "sequence_classification", examples, describes, **options)


def generate():
    lm(
        "causal",
        "Llama with hidden size 16, four heads that share two keys and values, silu, a head of its own, rope_theta 10000.",
        61,
        config={
            "vocab_size": 64,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
        flags={"num_key_value_heads": None, "tie_word_embeddings": None, "rope_parameters": {"rope_type": "default", "rope_theta": 100.0}},
        per_token=True,
        old_keys=older(),
    )
    lm(
        "causal-tied",
        "The head is the token embedding; as many keys as heads.",
        62,
        config={"tie_word_embeddings": True, "num_key_value_heads": 2},
        flags={"tie_word_embeddings": None, "num_key_value_heads": None},
        notes=["Both uses of the token embedding are summed before squaring."],
    )
    lm("causal-attention-bias", "Queries, keys, values and the output of attention have biases.", 63, config={"attention_bias": True}, flags={"attention_bias": False})
    lm("causal-mlp-bias", "The three layers of the feed-forward part have biases.", 64, config={"mlp_bias": True}, flags={"mlp_bias": False})
    lm(
        "causal-head-dim",
        "Heads of size 6 although hidden size / heads is 4.",
        65,
        config={"head_dim": 6, "num_key_value_heads": 2},
        flags={"head_dim": None},
        old_keys=older(),
    )
    lm("causal-gelu", "The gate uses the exact gelu.", 66, config={"hidden_act": "gelu"}, flags={"hidden_act": "silu"})
    lm("causal-relu", "The gate uses relu.", 67, config={"hidden_act": "relu"}, flags={"hidden_act": "silu"})
    lm("causal-epsilon", "An rms_norm_eps of 0.01.", 68, config={"rms_norm_eps": 0.01}, flags={"rms_norm_eps": 1e-6})
    prompts = sequences(69, 40, [6, 10, 4, 7])
    for example, prompt in zip(prompts, [2, 5, 1, 6]):
        example["labels"] = [IGNORED] * prompt + example["input_ids"][prompt:]
    lm("causal-prompt", "Prompts are read but not predicted: their labels are -100.", 69, examples=prompts)

    rope("linear", "Rotary positions divided by 4.", 70, {"rope_type": "linear", "factor": 4.0}, old="type")
    rope(
        "dynamic",
        "Dynamic rotary scaling with texts no longer than max_position_embeddings: it is without effect.",
        71,
        {"rope_type": "dynamic", "factor": 2.0},
        old="type",
        flags={},
        idle={"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}},
    )
    rope(
        "dynamic-long",
        "Dynamic rotary scaling with texts of up to 10 tokens where max_position_embeddings is 6; the base follows each text's own length.",
        72,
        {"rope_type": "dynamic", "factor": 2.0},
        old="rope_type",
        changes={"max_position_embeddings": 6},
        batch=False,
        notes=["transformers takes the longest text of a batch, and of all batches before it; here each text was alone in a new model."],
    )
    rope(
        "llama3",
        "Llama 3.1 scaling: one frequency is kept, one is blended, two are divided.",
        73,
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
        theta=10000.0,
        old="rope_type",
    )
    rope(
        "yarn",
        "YaRN scaling with the attention factor that follows from its factor.",
        74,
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 4.0, "beta_slow": 1.0},
        old="rope_type",
    )
    rope(
        "yarn-defaults",
        "YaRN scaling with nothing given but its factor: 32 and 1 as betas, max_position_embeddings as the original length.",
        75,
        {"rope_type": "yarn", "factor": 4.0},
        changes={"max_position_embeddings": 512},
        notes=["config.json holds original_max_position_embeddings, which transformers filled in."],
        old="rope_type",
    )
    rope(
        "yarn-explicit",
        "YaRN scaling with an attention factor of its own and a range of dimensions that is not rounded.",
        76,
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 64,
            "beta_fast": 4.0,
            "beta_slow": 1.0,
            "attention_factor": 1.3,
            "truncate": False,
        },
    )
    rope(
        "yarn-mscale",
        "YaRN scaling whose attention factor is the ratio of two scales.",
        77,
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 64,
            "beta_fast": 4.0,
            "beta_slow": 1.0,
            "mscale": 1.5,
            "mscale_all_dim": 0.8,
        },
    )

    classify("classify", "Sequence classification at the last token that is no padding.", 81, config={"pad_token_id": 0}, flags={"num_labels": None}, old_keys=lambda c: {**older()(c), "pad_token_id": 0})
    classify("classify-five", "Five labels.", 82, labels=5, config={"num_labels": 5, "pad_token_id": 0}, flags={"num_labels": None})
    classify(
        "classify-pad-attended",
        "Texts that end with, or hold, the padding token, attended to: the last token that is not it counts, whatever the attention mask says.",
        83,
        examples=[
            {"input_ids": [5, 2, 9, 5, 2], "label": 1},
            {"input_ids": [7, 8, 2, 2], "label": 0},
            {"input_ids": [2, 3, 4, 12, 9, 1], "label": 1},
        ],
        config={"pad_token_id": 2},
        flags={"pad_token_id": "null"},
        notes=["nn.Embedding(padding_idx) drops the gradient of the padding row: row 2 of the embeddings has gradient and Fisher 0 although the row is used."],
    )
    classify(
        "classify-no-pad",
        "No padding token is known: the last token counts. PyTorch took one text at a time.",
        84,
        flags={"pad_token_id": None},
        batch=False,
    )
