"""RoBERTa: sequence classification and masked language modelling. Positions start behind that of padding."""

from golden import masked, sequences, write
from transformers import RobertaConfig, RobertaForMaskedLM, RobertaForSequenceClassification


def config(**changes):
    return RobertaConfig(
        **{
            "vocab_size": 40,
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 14,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            **changes,
        }
    )


def older(config):
    """As transformers 4 wrote it."""
    kept = {k: v for k, v in config.items() if k not in ("dtype", "tie_word_embeddings", "add_cross_attention", "is_decoder")}
    return {**kept, "torch_dtype": "float32", "position_embedding_type": "absolute", "transformers_version": "4.38.2"}


def classify(case, describes, seed, labels=2, **options):
    made = config(**options.pop("config", {}))
    examples = options.pop("examples", None) or sequences(
        seed, made.vocab_size, [6, 10, 3, 1], avoid=[made.pad_token_id], labels=labels, types=options.pop("types", 0)
    )
    write(f"roberta-{case}", RobertaForSequenceClassification, made, "sequence_classification", examples, describes, **options)


def generate():
    classify(
        "classify",
        "RoBERTa with two labels, hidden size 16, gelu; padding is token 1, so the first token has position 2; a head of dense, tanh, out_proj.",
        31,
        config={"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4},
        flags={"num_attention_heads": 2},
        old_keys=older,
    )
    classify("classify-five", "Five labels.", 32, labels=5, config={"num_labels": 5}, flags={"num_labels": None})
    classify(
        "classify-types",
        "Two token types, both used.",
        33,
        types=2,
        config={"type_vocab_size": 2},
        flags={"type_vocab_size": None},
    )
    classify("classify-relu", "The feed-forward layers use relu.", 34, config={"hidden_act": "relu"}, flags={"hidden_act": "gelu"})
    classify("classify-epsilon", "A layer_norm_eps of 0.01.", 35, config={"layer_norm_eps": 0.01}, flags={"layer_norm_eps": 1e-5})
    classify(
        "classify-pad-three",
        "Padding is token 3: the first token has position 4.",
        36,
        config={"pad_token_id": 3, "max_position_embeddings": 16},
        flags={"pad_token_id": 1},
    )
    classify(
        "classify-pad-attended",
        "Texts in which the padding token occurs as a word and is attended to: it has the padding position and is not counted.",
        37,
        examples=[
            {"input_ids": [5, 1, 9, 5, 1], "label": 1},
            {"input_ids": [7, 8, 1], "label": 0},
            {"input_ids": [1, 3, 4, 12, 9, 2], "label": 1},
        ],
        flags={"pad_token_id": 3},
        notes=[
            "nn.Embedding(padding_idx) drops the gradient of the padding row: row 1 of the word and of the position embeddings has "
            "gradient and Fisher 0 although the rows are used."
        ],
    )

    def lm(case, describes, seed, made, **options):
        examples = masked(sequences(seed, made.vocab_size, [6, 10, 3, 7], avoid=range(5)), 4, made.vocab_size)
        write(f"roberta-{case}", RobertaForMaskedLM, made, "masked_lm", examples, describes, **options)

    lm("masked", "Masked language model; the decoder is the word embedding, its bias is lm_head.bias.", 38, config(), flags={"tie_word_embeddings": None})
    lm(
        "masked-untied",
        "Masked language model with a decoder of its own; hidden_act is relu, which the head does not follow: it always uses gelu.",
        39,
        config(tie_word_embeddings=False, hidden_act="relu"),
        flags={"tie_word_embeddings": None, "hidden_act": "gelu"},
        notes=["lm_head.bias is stored but unused where nothing is tied: the decoder adds lm_head.decoder.bias. Its gradient is 0."],
    )
