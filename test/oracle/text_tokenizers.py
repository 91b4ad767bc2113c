"""Writes test/goldens/tokenizers/: small tokenizers of many kinds, and what they make of awkward texts.

Made with Python 3.11, tokenizers 0.23.3 and sentencepiece 0.2.3. Run:
python test/oracle/text_tokenizers.py [folder of bert-base-uncased's tokenizer.json]

<name>/tokenizer.json is the tokenizer; encodings.json gives for each name the token ids of every text of TEXTS and every
pair of PAIRS, with segments where one of them is not 0, cut to some lengths, and the text that the ids decode to.
"""

import json
import os
import pathlib
import sys
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as words
from tokenizers import processors, trainers

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "Merging models is easier than training them; un-merging is harder than it looks.",
    "A naïve café owner said: “Curvature, curvature, curvature!” It's what they'd want, isn't it?",
    "In 2024 there were 1,234,567 of them, i.e. 12.5% more than 1,097,392.",
    "Der Bär aß süße Äpfel, während Straße und Fluß überflutet wurden.",
    "Η ΟΔΟΣ ΤΟΥ ΟΔΥΣΣΕΩΣ ήταν μεγάλη. Съешь же ещё этих мягких французских булок.",
    "東京は日本の首都です。我们合并模型。한국어 문장도 있습니다.",
    "snake_case, camelCase and kebab-case; foo(bar)[0] += 1; // a comment",
] * 4

TEXTS = [
    "",
    " ",
    "The quick brown fox.",
    "  leading, trailing  and   inner\tspaces \n\n and\r\nlines ",
    "It's what they'd want, isn't it? I'LL SEE, We've DONE it.",
    "naïve café — Straße ﬁne ½ Å ｆｕｌｌ",
    "Η ΟΔΟΣ ΤΟΥ ΟΔΥΣΣΕΩΣ. ΣΑΣ Σ",
    "İstanbul ıSPARTA ǅ ẞ",
    "東京は日本の首都です。我们合并模型。한국어 문장",
    "𠀀𠀁 𫠠𫠡 龥 㐀 \U0002f800",
    "emoji 😀👍🏽👨‍👩‍👧 🇩🇪 ☃️ done",
    "e\u0301 n\u0303 a\u0308\u0304 ก็ नि क्षि",
    "zero\u200bwidth \u00a0nbsp\u2003em \ufeffbom \u0085next \u200dzwj \u2028line \u180e",
    "control \x00\x01\x07\x0b\x0c\x1f\x7f \ufffd \u00ad done \ue000",
    "12,345.67 ²³ ½ ٣٤ १२ Ⅷ 一二",
    "a_b-c+d=e $10 #tag @user ~`^|<> «quoted» ¿qué? ‚‘’“”…",
    "⸮ ⹃ \u2e50 \u2e52 \u11660 \u0589 \u05be \u166d",
    "[CLS] in text [MASK] and [SEP] [mask] <s>x</s> <mask> <|endoftext|>tail <pad>",
    "  <mask>  spaces around  <|endoftext|>  <|endoftext|>x",
    "wordnewtoken newtoken, newtokens newtoken",
    "Low LOW low lOwer lower",
    "supercalifragilisticexpialidocious" * 4,
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "▁under▁line ▁▁x",
    "line one\nline two\n\n\nline three    four",
    "http://example.com/a?b=c&d=e%20f",
    "ÀÉÎÕÜ àéîõü \u1e9b\u0323 ﷺ ㎏ ①",
    "שלום עולם مرحبا بالعالم",
]
PAIRS = [
    ("The quick brown fox", "jumps over the lazy dog, and the dog does not mind"),
    ("Merging models is easier than training them; un-merging is harder", "no"),
    ("one", ""),
    ("", "two words"),
    ("a b c d e f", "g h i j k l"),
]
LENGTHS = [4, 5, 8, 9, 16]

root = pathlib.Path(__file__).parent.parent / "goldens" / "tokenizers"


def trained(tokenizer, trainer):
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = words.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained(tokenizer, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_tokens([AddedToken("newtoken", single_word=True)])
    return tokenizer


def cased_wordpiece():
    tokenizer = wordpiece()
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=True, handle_chinese_chars=False)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def roberta():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = words.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trained(
        tokenizer,
        trainers.BpeTrainer(
            vocab_size=500, special_tokens=special, initial_alphabet=words.ByteLevel.alphabet(), show_progress=False
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = words.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trained(
        tokenizer,
        trainers.BpeTrainer(
            vocab_size=450,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=words.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_tokens([AddedToken("newtoken", rstrip=True, normalized=True)])
    return tokenizer


def qwen():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.normalizer = normalizers.NFC()
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = words.Sequence(
        [words.Split(Regex(pattern), "isolated"), words.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trained(
        tokenizer,
        trainers.BpeTrainer(
            vocab_size=450,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=words.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    template = processors.TemplateProcessing(
        single="<|endoftext|> $A", pair="<|endoftext|> $A <|endoftext|>:1 $B:1", special_tokens=[("<|endoftext|>", 0)]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def llama():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    trained(tokenizer, trainers.BpeTrainer(vocab_size=480, special_tokens=special, limit_alphabet=60, show_progress=False))
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def gemma():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = words.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Replace("▁", " ")
    special = ["<pad>", "<unk>", "<s>"]
    trained(tokenizer, trainers.BpeTrainer(vocab_size=300, special_tokens=special, limit_alphabet=50, show_progress=False))
    return tokenizer


def sentencepiece_files(**settings):
    """The pieces with their scores, and the compiled map of characters."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus.txt")
        pathlib.Path(corpus).write_text("\n".join(CORPUS))
        # A few rules are enough, and keep the file small: ligatures, widths, composition, and one that only whole
        # clusters of characters match.
        rules = os.path.join(folder, "rules.tsv")
        pairs = [("ﬁ", "fi"), ("½", "1⁄2"), ("ｆ", "f"), ("ｕ", "u"), ("ｌ", "l"), ("①", "1"), ("㎏", "kg")]
        pairs += [("e\u0301", "é"), ("a\u0308", "ä"), ("\u00a0", " "), ("\u3000", " "), ("\t", " "), ("\n", " ")]
        pairs += [("\r", " "), ("\u200b", ""), ("ﷺ", "صلى الله عليه وسلم"), ("☃\ufe0f", "*"), ("ẞ", "SS")]
        codes = lambda text: " ".join(f"{ord(c):X}" for c in text)
        pathlib.Path(rules).write_text("".join(f"{codes(a)}\t{codes(b)}\n" for a, b in pairs))
        prefix = os.path.join(folder, "model")
        sentencepiece.SentencePieceTrainer.train(
            input=corpus,
            model_prefix=prefix,
            normalization_rule_tsv=rules,
            minloglevel=2,
            **settings,
        )
        from sentencepiece import sentencepiece_model_pb2

        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(pathlib.Path(prefix + ".model").read_bytes())
        pieces = [(piece.piece, piece.score) for piece in proto.pieces]
        return pieces, proto.normalizer_spec.precompiled_charsmap


def t5():
    pieces, charsmap = sentencepiece_files(
        vocab_size=300, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=0.98, hard_vocab_limit=False
    )
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap), normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")]
    )
    tokenizer.pre_tokenizer = words.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


def unigram_bytes():
    pieces, _ = sentencepiece_files(
        vocab_size=520, model_type="unigram", byte_fallback=True, character_coverage=0.98, hard_vocab_limit=False
    )
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = words.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first", split=False)])
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>"])
    return tokenizer


def pieces_of_words():
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = words.Sequence(
        [words.Whitespace(), words.Digits(individual_digits=True), words.Punctuation("merged_with_next")]
    )
    trained(tokenizer, trainers.WordLevelTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False))
    return tokenizer


def other_words():
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = words.Sequence(
        [
            words.WhitespaceSplit(),
            words.CharDelimiterSplit("-"),
            words.Punctuation("contiguous"),
            words.Split(Regex(r"\d+"), "merged_with_previous"),
            words.Digits(),
            words.Split(Regex(r"[a-z]+|[^a-z]+"), "removed", invert=True),
            words.FixedLength(3),
        ]
    )
    trained(tokenizer, trainers.WordLevelTrainer(vocab_size=300, special_tokens=["[UNK]"], show_progress=False))
    return tokenizer


def described(encoding):
    types = encoding.type_ids
    return {"ids": encoding.ids, **({"segments": types} if any(types) else {})}


encodings = {"texts": TEXTS, "pairs": PAIRS, "lengths": LENGTHS, "tokenizers": {}}
for make in [
    wordpiece,
    cased_wordpiece,
    roberta,
    gpt2,
    qwen,
    llama,
    gemma,
    t5,
    unigram_bytes,
    pieces_of_words,
    other_words,
]:
    name = make.__name__.replace("_", "-")
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(make().to_str() + "\n")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    entry = {"size": tokenizer.get_vocab_size(), "texts": [], "pairs": [], "decoded": [], "cut": []}
    for text in TEXTS:
        encoding = tokenizer.encode(text)
        entry["texts"].append(described(encoding))
        entry["decoded"].append(tokenizer.decode(encoding.ids, skip_special_tokens=False))
    for pair in PAIRS:
        entry["pairs"].append(described(tokenizer.encode(*pair)))
    for length in LENGTHS:
        tokenizer.enable_truncation(length)
        entry["cut"].append([described(tokenizer.encode(*pair)) for pair in [*PAIRS, (TEXTS[3],)]])
    tokenizer.no_truncation()
    encodings["tokenizers"][name] = entry

# A real vocabulary: the ids alone, for tests that find the tokenizer itself beside the project.
if len(sys.argv) > 1:
    tokenizer = Tokenizer.from_file(os.path.join(sys.argv[1], "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encodings["real"] = {
        "texts": [described(tokenizer.encode(text)) for text in TEXTS],
        "pairs": [described(tokenizer.encode(*pair)) for pair in PAIRS],
    }

(root / "encodings.json").write_text(json.dumps(encodings) + "\n")
