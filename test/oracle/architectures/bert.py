"""BERT: sequence classification and masked language modelling."""

from golden import masked, sequences, write
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

NO_RELATIVE = (
    "position_embedding_type relative_key and relative_key_query are gone from this version of transformers, which ignores the key: "
    "a model that has one of them would be computed wrongly, so it must be refused."
)


def config(**changes):
    return BertConfig(
        **{
            "vocab_size": 40,
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 12,
            "type_vocab_size": 2,
            **changes,
        }
    )


def older(config):
    """As transformers 4 wrote it."""
    kept = {k: v for k, v in config.items() if k not in ("dtype", "tie_word_embeddings", "add_cross_attention", "is_decoder")}
    return {
        **kept,
        "torch_dtype": "float32",
        "position_embedding_type": "absolute",
        "gradient_checkpointing": False,
        "transformers_version": "4.38.2",
    }


def classify(case, describes, seed, examples=None, **options):
    changes = options.pop("config", {})
    made = config(**changes)
    labels = changes.get("num_labels", 2)
    examples = examples or sequences(seed, made.vocab_size, [6, 10, 3, 1], avoid=[0], labels=labels)
    write(f"bert-{case}", BertForSequenceClassification, made, "sequence_classification", examples, describes, **options)


def generate():
    classify(
        "classify",
        "BERT with two labels, hidden size 16, gelu; no token types given, so all are of type 0.",
        11,
        examples=sequences(11, 64, [7, 10, 4, 1], avoid=[0], labels=2),
        config={"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4},
        flags={"num_attention_heads": 2},
        notes=[NO_RELATIVE],
        old_keys=older,
    )
    classify(
        "classify-types",
        "Token types are given: two segments, and a vocabulary of three types.",
        12,
        examples=sequences(12, 40, [6, 10, 3, 8], avoid=[0], labels=2, types=3),
        config={"type_vocab_size": 3},
        flags={"type_vocab_size": None},
    )
    classify(
        "classify-five",
        "Five labels, problem_type says single_label_classification.",
        13,
        examples=sequences(13, 40, [6, 10, 3, 2, 5], avoid=[0], labels=5),
        config={"num_labels": 5, "problem_type": "single_label_classification"},
        flags={"num_labels": None, "problem_type": None},
    )
    for activation in ("gelu_new", "relu", "silu"):
        classify(
            f"classify-{activation.replace('_', '-')}",
            f"The feed-forward layers use {activation}.",
            14,
            config={"hidden_act": activation},
            flags={"hidden_act": "gelu"},
            # The two forms of gelu are close: large weights tell them apart.
            scale=1.0 if activation == "gelu_new" else 0.4,
        )
    classify("classify-epsilon", "A layer_norm_eps of 0.01, large enough to be seen.", 15, config={"layer_norm_eps": 0.01}, flags={"layer_norm_eps": 1e-12})
    classify(
        "classify-pad-attended",
        "Texts in which the padding token occurs as a word and is attended to.",
        16,
        examples=[
            {"input_ids": [5, 0, 9, 5, 0], "label": 1},
            {"input_ids": [7, 8, 0], "label": 0},
            {"input_ids": [0, 3, 4, 12, 9, 2], "label": 1},
        ],
        flags={"pad_token_id": None},
        notes=["nn.Embedding(padding_idx) drops the gradient of the padding row: row 0 of the word embeddings has gradient and Fisher 0 although the row is used."],
    )

    def lm(case, describes, seed, made, **options):
        examples = masked(sequences(seed, made.vocab_size, [6, 10, 3, 7], avoid=range(5), types=options.pop("types", 0)), 4, made.vocab_size)
        write(f"bert-{case}", BertForMaskedLM, made, "masked_lm", examples, describes, **options)

    lm(
        "masked",
        "Masked language model; the decoder is the word embedding, its bias is cls.predictions.bias.",
        17,
        config(),
        types=2,
        flags={"tie_word_embeddings": None},
        notes=["Both uses of the word embedding are summed before squaring."],
        per_token=True,
    )
    lm(
        "masked-untied",
        "Masked language model whose decoder has a weight and a bias of its own.",
        18,
        config(tie_word_embeddings=False, hidden_act="relu"),
        flags={"tie_word_embeddings": None, "hidden_act": "gelu"},
        notes=["cls.predictions.bias is stored but unused where nothing is tied: the decoder adds cls.predictions.decoder.bias. Its gradient is 0."],
    )
