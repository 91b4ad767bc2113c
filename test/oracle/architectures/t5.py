"""T5: conditional generation, encoder and decoder."""

import torch
from golden import IGNORED, sequences, write
from transformers import T5Config, T5ForConditionalGeneration


def config(**changes):
    return T5Config(
        **{
            "vocab_size": 40,
            "d_model": 8,
            "d_kv": 4,
            "d_ff": 12,
            "num_layers": 2,
            "num_heads": 2,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 10,
            "decoder_start_token_id": 0,
            **changes,
        }
    )


def pairs(seed, vocab):
    """Inputs with outputs of other lengths; one output has a part that is not predicted."""
    examples = sequences(seed, vocab, [6, 10, 2, 7], avoid=[0])
    for example, out in zip(examples, sequences(seed + 1000, vocab, [4, 2, 9, 5], avoid=[0])):
        example["labels"] = out["input_ids"]
    examples[-1]["labels"][1:3] = [IGNORED, IGNORED]
    return examples


def lm(case, describes, seed, **options):
    made = config(**options.pop("config", {}))
    write(f"t5-{case}", T5ForConditionalGeneration, made, "seq2seq_lm", pairs(seed, made.vocab_size), describes, **options)


def untie(model):
    model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    model.all_tied_weights_keys.pop("lm_head.weight")


def old(config):
    """
    As early versions of transformers 4 wrote it: an untied head is what says that the decoder's output is not scaled, and
    feed_forward_proj alone says what the feed-forward layers compute.
    """
    kept = {k: v for k, v in config.items() if k not in ("dtype", "scale_decoder_outputs", "is_decoder", "dense_act_fn", "is_gated_act")}
    return {**kept, "tie_word_embeddings": config["scale_decoder_outputs"], "torch_dtype": "float32", "transformers_version": "4.38.2"}


def generate():
    lm(
        "conditional",
        "T5 with relu, the head tied to the embedding and the decoder's output scaled by 1/√d_model; heads × d_kv is not d_model.",
        111,
        config={"vocab_size": 64, "d_model": 16, "d_kv": 6, "d_ff": 24},
        flags={"scale_decoder_outputs": False, "d_kv": None, "dense_act_fn": "gelu"},
        notes=[
            "Three uses of shared.weight (encoder, decoder, head) are summed before squaring.",
            "dense_act_fn, is_gated_act and scale_decoder_outputs count where config.json has them, before feed_forward_proj and tie_word_embeddings.",
            "The decoder reads decoder_start_token_id and then the labels; -100 becomes pad_token_id there.",
            "Attention scores are not scaled. Cross-attention has no position bias; layers after the first use that of the first.",
        ],
        per_token=True,
        old_keys=old,
    )
    lm(
        "gated-gelu-untied",
        "As T5 1.1: a gated gelu_new, a head of its own, and the decoder's output is not scaled.",
        112,
        config={"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        prepare=untie,
        # The file has a head of its own: that, not the configuration of transformers 5, unties it.
        flags={"feed_forward_proj": None, "dense_act_fn": "relu", "scale_decoder_outputs": True},
        old_keys=old,
        notes=["config.json says tie_word_embeddings true, as transformers 5 writes it: that model.safetensors has lm_head.weight is what unties it."],
    )
    lm("gated-silu", "A gated silu, tied and scaled.", 113, config={"feed_forward_proj": "gated-silu"}, flags={"feed_forward_proj": None, "dense_act_fn": "gelu_new"})
    lm(
        "decoder-layers",
        "One encoder layer, two decoder layers.",
        114,
        config={"num_layers": 1, "num_decoder_layers": 2},
        flags={"num_layers": None, "num_decoder_layers": 1},
    )
    lm(
        "buckets",
        "The usual 32 buckets up to distance 128, of which short texts reach few.",
        115,
        config={"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128},
        flags={"relative_attention_num_buckets": None, "relative_attention_max_distance": 10},
        notes=["The first eight distances have buckets of their own: rows that no text reaches have gradient 0."],
    )
    lm("max-distance", "Eight buckets up to distance 6: further tokens share the last one.", 116, config={"relative_attention_max_distance": 6}, flags={"relative_attention_max_distance": 10})
    lm("start", "Decoding starts with token 3, padding is token 0.", 117, config={"decoder_start_token_id": 3}, flags={"decoder_start_token_id": 0})
    lm("epsilon", "A layer_norm_epsilon of 0.01.", 118, config={"layer_norm_epsilon": 0.01}, flags={"layer_norm_epsilon": 1e-6})
