"""DistilBERT: sequence classification and masked language modelling."""

from golden import masked, sequences, write
from transformers import DistilBertConfig, DistilBertForMaskedLM, DistilBertForSequenceClassification


def config(**changes):
    return DistilBertConfig(
        **{
            "vocab_size": 40,
            "dim": 8,
            "hidden_dim": 16,
            "n_layers": 2,
            "n_heads": 2,
            "max_position_embeddings": 12,
            **changes,
        }
    )


def older(config):
    """As transformers 4 wrote it."""
    kept = {k: v for k, v in config.items() if k not in ("dtype", "tie_word_embeddings")}
    return {**kept, "torch_dtype": "float32", "tie_weights_": True, "output_past": True, "transformers_version": "4.10.0"}


def classify(case, describes, seed, labels=2, **options):
    made = config(**options.pop("config", {}))
    examples = options.pop("examples", None) or sequences(seed, made.vocab_size, [6, 10, 3, 1], avoid=[0], labels=labels)
    write(f"distilbert-{case}", DistilBertForSequenceClassification, made, "sequence_classification", examples, describes, **options)


def generate():
    classify(
        "classify",
        "DistilBERT with two labels, hidden size 16, gelu; the head has a dense layer and relu.",
        21,
        config={"vocab_size": 64, "dim": 16, "hidden_dim": 24, "n_heads": 4},
        flags={"n_heads": 2},
        old_keys=older,
    )
    classify("classify-five", "Five labels.", 22, labels=5, config={"num_labels": 5}, flags={"num_labels": None})
    classify("classify-relu", "The feed-forward layers use relu.", 23, config={"activation": "relu"}, flags={"activation": "gelu"})
    classify("classify-gelu-new", "The feed-forward layers use gelu_new.", 24, config={"activation": "gelu_new"}, flags={"activation": "gelu"}, scale=1.0)
    classify(
        "classify-sinusoidal",
        "sinusoidal_pos_embds only says how the table of positions was filled at first: the stored table counts, here a random one.",
        25,
        config={"sinusoidal_pos_embds": True},
        idle={"sinusoidal_pos_embds": False},
        notes=["The table is an ordinary parameter once it is loaded: transformers gives it a gradient."],
    )

    def lm(case, describes, seed, made, **options):
        examples = masked(sequences(seed, made.vocab_size, [6, 10, 3, 7], avoid=range(5)), 4, made.vocab_size)
        write(f"distilbert-{case}", DistilBertForMaskedLM, made, "masked_lm", examples, describes, **options)

    lm("masked", "Masked language model whose projector is the word embedding.", 26, config(), flags={"tie_word_embeddings": None})
    lm(
        "masked-untied",
        "Masked language model with a projector of its own; the head uses the activation of the configuration, relu.",
        27,
        config(tie_word_embeddings=False, activation="relu"),
        flags={"tie_word_embeddings": None, "activation": "gelu"},
    )
