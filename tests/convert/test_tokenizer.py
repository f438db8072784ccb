"""The rebuilt tokenizer encodes alike in every library that reads it, and loses nothing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import llguidance
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from olpipe.convert.gguf import read_header
from olpipe.convert.tokenizer import PRE_TOKENIZERS, read_tokenizer, tokenizer_config, tokenizer_json
from olpipe.errors import ModelCorrupt
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import CHAT_TEMPLATE, tiny_metadata, vocabulary
from olpipe.testing.sentencepiece import sentencepiece_metadata

TOKENS, MERGES = vocabulary()

SAMPLES = [
    "",
    "The dog is on the street with 12345 cats, isn't it?",
    "  two  spaces\t\tand tabs \n\n\nand lines\r\n",
    "Ein Hund läuft über die Straße – «schön»!",
    "一只狗在街上。カフェの猫、한국어",
    "كلب في الشارع ١٢٣ שלום",
    "naïve café, e\u0301 combining, ½ ² Ⅷ",
    "👩‍👩‍👧‍👦 🇩🇪 \U0001f4f7",
    '{"tags":["dog","street"],"title":"A dog","objects":[]}',
    "I'LL we've DON'T $3.50+<=>^~|",
    "\x00\x07\u200b\ufeff",
]


def texts(pre, **metadata):
    """Return tokenizer.json and tokenizer_config.json of the tiny vocabulary under another rule."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.gguf")
        write_gguf(path, tiny_metadata(TOKENS, MERGES, 64) | {"tokenizer.ggml.pre": pre} | metadata, {})
        rebuilt = read_tokenizer(read_header(path))
    return json.dumps(tokenizer_json(rebuilt)), tokenizer_config(rebuilt, 64)


def both(tokenizer_text):
    return (
        llguidance.LLTokenizer(tokenizer_text, n_vocab=len(TOKENS), eos_token=2),
        tokenizers.Tokenizer.from_str(tokenizer_text),
    )


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_llguidance_finds_it_canonical_and_encodes_as_the_tokenizers_library(pre):
    ours, theirs = both(texts(pre)[0])
    assert ours.is_canonical
    for sample in SAMPLES:
        ids = theirs.encode(sample, add_special_tokens=False).ids
        assert ours.tokenize_str(sample) == ids
        assert theirs.decode(ids) == sample


SMOLLM = both(texts("smollm")[0])


@given(st.text())
def test_any_text_comes_back_whole(text):
    ours, theirs = SMOLLM
    ids = theirs.encode(text).ids
    assert theirs.decode(ids, skip_special_tokens=False) == text
    assert ours.decode_bytes(ours.tokenize_str(text)) == text.encode()


# What each rule does to digits and blanks, as the libraries of these models cut them.
@pytest.mark.parametrize(
    ("pre", "text", "pieces"),
    [
        ("smollm", "on 123  x", ["on", "Ġ", "1", "2", "3", "Ġ", "Ġx"]),
        ("gpt-2", "on 123  x", ["on", "Ġ123", "Ġ", "Ġx"]),
        ("llama-bpe", "ON'T 1234  x", ["ON", "'T", "Ġ", "123", "4", "Ġ", "Ġx"]),
        ("qwen2", "on 123  x\n\ny", ["on", "Ġ", "1", "2", "3", "Ġ", "Ġx", "ĊĊ", "y"]),
        ("qwen35", "e\u0301n 12", ["eÌģn", "Ġ", "1", "2"]),
        ("tekken", "fooBar HTMLText 123 a/\n", ["foo", "Bar", "ĠHTMLText", "Ġ", "1", "2", "3", "Ġa", "/Ċ"]),
        ("gpt-4o", "fooBar's DON'T 1234 a/\n", ["foo", "Bar's", "ĠDON'T", "Ġ", "123", "4", "Ġa", "/Ċ"]),
        ("default", "on 1234+x", ["on", "Ġ", "123", "4", "+", "x"]),
    ],
)
def test_each_rule_cuts_texts_in_its_own_way(pre, text, pieces):
    cut = tokenizers.Tokenizer.from_str(texts(pre)[0]).pre_tokenizer.pre_tokenize_str(text)
    assert [piece for piece, _ in cut] == pieces


def test_special_tokens_are_one_token_and_are_not_shown():
    ours, theirs = SMOLLM
    assert theirs.encode("<|im_start|>on<|im_end|>").ids == [1, TOKENS.index("on"), 2]
    assert ours.tokenize_str("<|im_end|>", parse_special=True) == [2]
    assert theirs.decode([1, TOKENS.index("on"), 2]) == "on"


def test_user_defined_tokens_are_whole_but_shown():
    kinds = [3, 3, 3] + [1] * (len(TOKENS) - 4) + [4]
    text, _ = texts("smollm", **{"tokenizer.ggml.token_type": kinds})
    added = json.loads(text)["added_tokens"]
    assert [(token["content"], token["special"]) for token in added[2:]] == [("<|im_end|>", True), (TOKENS[-1], False)]


def test_a_begin_token_is_added_only_where_the_file_wants_it():
    with_begin, _ = texts("smollm", **{"tokenizer.ggml.add_bos_token": True})
    theirs = tokenizers.Tokenizer.from_str(with_begin)
    assert theirs.encode("on").ids == [1, TOKENS.index("on")]
    assert theirs.encode("on", add_special_tokens=False).ids == [TOKENS.index("on")]
    assert SMOLLM[1].encode("on").ids == [TOKENS.index("on")]


def test_the_configuration_names_tokens_and_carries_the_chat_template():
    _, config = texts("smollm")
    assert config["chat_template"] == CHAT_TEMPLATE
    assert (config["bos_token"], config["eos_token"], config["pad_token"]) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )


def ends(metadata, control):
    """Return the texts of the tokens that end an answer, in a vocabulary with some more control tokens."""
    tokens = [*metadata["tokenizer.ggml.tokens"], *control]
    more = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [*metadata["tokenizer.ggml.token_type"], *[3] * len(control)],
    }
    if "tokenizer.ggml.scores" in metadata:
        more["tokenizer.ggml.scores"] = [*metadata["tokenizer.ggml.scores"], *[0.0] * len(control)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.gguf")
        write_gguf(path, {"general.architecture": "llama"} | metadata | more, {})
        return [tokens[place] for place in read_tokenizer(read_header(path)).special.ends]


BYTE_LEVEL, SENTENCEPIECE = tiny_metadata(TOKENS, MERGES, 64), sentencepiece_metadata()


@pytest.mark.parametrize(
    "spelling", ["<end_of_turn>", "<|end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_utterance>", "<|end_of_text|>"]
)
def test_a_control_token_that_is_spelled_like_an_end_is_one_in_every_kind_of_vocabulary(spelling):
    assert ends(BYTE_LEVEL, ["<a>", spelling]) == ["<|im_end|>", "<|endoftext|>", spelling]
    assert ends(SENTENCEPIECE, ["<a>", spelling]) == ["</s>", spelling]


def test_the_ends_that_a_file_names_come_first():
    named = {"tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.eot_token_id": 5, "tokenizer.ggml.eom_token_id": 4}
    assert ends(BYTE_LEVEL | named, ["<|eot_id|>"]) == [
        "<|endoftext|>",
        TOKENS[5],
        TOKENS[4],
        "<|im_end|>",
        "<|eot_id|>",
    ]
    several = {"tokenizer.ggml.eos_token_ids": [2, 7]}
    assert ends(SENTENCEPIECE | several, []) == ["</s>", SENTENCEPIECE["tokenizer.ggml.tokens"][7]]


def test_a_text_that_is_spelled_like_an_end_does_not_end_an_answer():
    gemma = sentencepiece_metadata(user_defined=["<|end|>", "<|im_end|>"])
    assert ends(gemma, []) == ["</s>"]


def test_the_end_of_a_part_does_not_end_the_answer_of_gpt_oss():
    others = ["<|return|>", "<|call|>"]
    assert ends(BYTE_LEVEL, ["<|end|>", *others]) == ["<|im_end|>", "<|endoftext|>", *others]


def test_a_list_of_ends_is_checked_like_a_single_one():
    with pytest.raises(ModelCorrupt, match="has no token 999999, its `eos` token"):
        ends(SENTENCEPIECE | {"tokenizer.ggml.eos_token_ids": [2, 999999]}, [])
