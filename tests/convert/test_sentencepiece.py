"""A SentencePiece vocabulary gives the tokens that its scores ask for, in every library that reads the result."""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st

from olpipe.convert.gguf import read_header
from olpipe.convert.tokenizer import read_tokenizer, tokenizer_config, tokenizer_json
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.testing.gguf import write_gguf
from olpipe.testing.sentencepiece import sentencepiece_metadata

PREFIX = "tokenizer.ggml."


class Rebuilt:
    """A vocabulary in a GGUF file, and what became of it."""

    def __init__(self, metadata, *, architecture="llama"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "tokenizer.gguf")
            write_gguf(path, {"general.architecture": architecture, **metadata}, {})
            self.read = read_tokenizer(read_header(path))
        self.tokens = metadata[PREFIX + "tokens"]
        self.scores = metadata[PREFIX + "scores"]
        self.json = json.dumps(tokenizer_json(self.read))
        self.config = tokenizer_config(self.read, 64)
        self.theirs = tokenizers.Tokenizer.from_str(self.json)
        self.ours = Vocabulary(self.json, size=len(self.tokens), end_tokens=self.read.special.ends)

    def encode(self, text):
        """Return the tokens of a text as texts, after a check that both libraries agree on them."""
        ids = self.theirs.encode(text, add_special_tokens=False).ids
        assert self.ours.encode(text) == ids
        return [self.theirs.id_to_token(place) for place in ids]

    def plainly(self, text):
        """Return the tokens of a text without special tokens, found as SentencePiece does: pair by pair.

        The pair with the highest score is joined first; the leftmost one, where scores are equal.
        """
        score = dict(zip(self.tokens, self.scores, strict=True))
        pieces = list(text.replace(" ", "▁"))
        while True:
            pairs = [(score[a + b], -at) for at, (a, b) in enumerate(pairwise(pieces)) if a + b in score]
            if not pairs:
                break
            at = -max(pairs)[1]
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        known = ([piece] if piece in score else [f"<0x{byte:02X}>" for byte in piece.encode()] for piece in pieces)
        return [token for tokens in known for token in tokens]


PLAIN = Rebuilt(sentencepiece_metadata(space_prefix=False))
PREFIXED = Rebuilt(sentencepiece_metadata(specials=["<end_of_turn>", "<image>"], user_defined=["<table>", "[x]"]))

WORDS = st.sampled_from(
    ["the", " dog", "  ", "        ", "in", "ing", "with", 'title":"', "über", "é", "犬", "😀", "\n"]
)


@given(st.text() | st.lists(WORDS, max_size=12).map("".join))
@example("   in the  photo of a\tdog\n\nis  ")
@example("eretherinon" * 3)
@example("\x00\ufeff e\u0301 ")
@example("<b></b></s")
def test_tokens_are_joined_in_the_order_of_their_scores(text):
    assert PLAIN.encode(text) == PLAIN.plainly(text)


@given(st.text(min_size=1) | st.lists(WORDS, min_size=1, max_size=12).map("".join))
def test_a_space_is_put_before_a_text(text):
    assert PREFIXED.encode(text) == PREFIXED.plainly(" " + text)


def test_a_space_is_put_behind_special_tokens_too_but_nothing_is_put_between_two():
    got = PREFIXED.encode("the<image>the<table>cat<end_of_turn><end_of_turn>[x] dog")
    assert got == [
        *("▁the", "<image>", "▁the", "<table>", "▁cat", "<end_of_turn>", "<end_of_turn>", "[x]", "▁", "▁dog")
    ]
    assert PREFIXED.encode("") == []


def test_the_mark_of_a_quotation_brings_no_space():
    quoted = PREFIXED.ours.encode("the " + PREFIXED.ours.quote("<image>of"))
    assert PREFIXED.ours.token_of("<image>") not in quoted
    assert PREFIXED.ours.bytes_of(quoted) == b" the <image>of"


def test_a_row_of_the_embedding_that_has_no_token_cannot_be_spelled():
    size = len(PLAIN.tokens)
    wide = Vocabulary(PLAIN.json, size=size + 2, end_tokens=[2])
    assert max(wide.encode(f"<[{size}]><[{size + 1}]>")) < size


@given(st.text().filter(lambda text: "▁" not in text and "\ufdd0" not in text))
def test_any_text_comes_back_whole(text):
    assert PLAIN.ours.bytes_of(PLAIN.ours.encode(text)) == text.encode()
    assert PLAIN.theirs.decode(PLAIN.theirs.encode(text).ids, skip_special_tokens=False) == "<s>" + text


def test_the_space_before_a_text_is_taken_away_again():
    ids = PREFIXED.theirs.encode(" a  dog").ids
    assert PREFIXED.theirs.decode(ids) == " a  dog"


def test_the_grammar_engine_finds_a_vocabulary_canonical_and_knows_what_closes_a_string():
    assert PREFIXED.ours.tokenizer.is_canonical
    assert {PREFIXED.tokens[token] for token in PREFIXED.ours.closers} >= {'"', '":', '","', '"}', "<0x22>"}
    assert PREFIXED.ours.enders[PREFIXED.tokens.index('"}')] == '"}'


@pytest.mark.parametrize(
    ("said", "architecture", "expected"),
    [(None, "llama", True), (None, "gemma3", False), (True, "gemma3", True), (False, "phi3", False)],
)
def test_gemma_alone_has_no_space_before_a_text_unless_the_file_says_so(said, architecture, expected):
    made = Rebuilt(sentencepiece_metadata(space_prefix=said), architecture=architecture)
    assert made.encode("the") == (["▁the"] if expected else ["the"])


def test_of_two_equal_scores_the_longer_token_comes_first_so_that_runs_stay_whole():
    metadata = sentencepiece_metadata(space_prefix=False)
    runs = ["▁" * length for length in range(2, 8)]
    kept = [place for place, token in enumerate(metadata[PREFIX + "tokens"]) if token not in runs]
    for name, more in (("tokens", runs), ("token_type", [1] * len(runs)), ("scores", [0.0] * len(runs))):
        metadata[PREFIX + name] = [metadata[PREFIX + name][place] for place in kept] + more
    made = Rebuilt(metadata)
    for length in range(1, 40):
        text = "a" + " " * length + "dog"
        assert made.encode(text) == made.plainly(text)


def test_a_control_token_is_never_joined_from_the_letters_of_a_text():
    made = Rebuilt(sentencepiece_metadata(specials=["▁z"]))
    assert made.encode("z") == ["▁", "z"]


def test_user_defined_tokens_are_whole_and_shown_and_control_tokens_are_whole_and_hidden():
    ids = PREFIXED.ours.encode("<table>the<image>")
    assert [PREFIXED.tokens[token] for token in ids] == ["<table>", "▁the", "<image>"]
    assert PREFIXED.ours.bytes_of(ids) == b"<table> the"


def test_tokens_are_put_around_a_text_where_the_file_wants_them():
    assert PREFIXED.theirs.encode("the").tokens == ["<s>", "▁the"]
    around = {PREFIX + "add_bos_token": False, PREFIX + "add_eos_token": True}
    made = Rebuilt(sentencepiece_metadata() | around)
    assert made.theirs.encode("the").tokens == ["▁the", "</s>"]
    assert (made.config["add_bos_token"], made.config["add_eos_token"]) == (False, True)


def test_a_file_that_names_no_roles_has_those_of_llama_2():
    named = ("bos_token_id", "eos_token_id", "unknown_token_id", "add_bos_token")
    metadata = {key: value for key, value in sentencepiece_metadata().items() if not key.endswith(named)}
    made = Rebuilt(metadata)
    assert (made.config["bos_token"], made.config["eos_token"], made.config["unk_token"]) == ("<s>", "</s>", "<unk>")
    assert made.config["add_bos_token"]


def test_a_vocabulary_by_ollama_is_the_same_as_one_by_llama_cpp():
    marks = ["<table>", "<start_of_image>", "[x]"]
    expected = Rebuilt(sentencepiece_metadata(user_defined=[*marks, "     "], space_prefix=False))
    ollamas = sentencepiece_metadata(user_defined=[*marks, "▁▁▁▁▁"]) | {PREFIX + "merges": ["a b"]}
    ollamas[PREFIX + "token_type"][-4:-1] = [1, 1, 1]
    assert Rebuilt(ollamas, architecture="gemma3").json == expected.json


def test_a_special_token_of_phi_3_takes_the_blanks_behind_it():
    metadata = sentencepiece_metadata(specials=["<|user|>", "<|end|>", "<|endoftext|>"])
    made = Rebuilt(metadata, architecture="phi3")
    assert made.encode("<|user|>\n the<|end|>\n<|endoftext|>\n") == [
        *("<|user|>", "▁the", "<|end|>", "<|endoftext|>", "▁", "<0x0A>")
    ]
    assert Rebuilt(metadata).encode("<|end|> the") == ["<|end|>", "▁", "▁the"]


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"scores": [0.0]}, ModelCorrupt, "not as many scores"),
        ({"scores": "none"}, ModelCorrupt, "not as many scores"),
        ({"scores": [float("nan")] * len(PLAIN.tokens)}, ModelCorrupt, "a score that is not a number"),
        ({"scores": ["1"] * len(PLAIN.tokens)}, ModelCorrupt, "a score that is not a number"),
        ({"tokens": [token.replace("<0x0A>", "newline") for token in PLAIN.tokens]}, ModelUnsupported, "`<0x0A>`"),
        ({"tokens": [token.replace("über", "<0xü") for token in PLAIN.tokens]}, ModelUnsupported, "`<0xü`"),
        ({"token_type": [1]}, ModelCorrupt, "not as many token types"),
        ({"eos_token_id": len(PLAIN.tokens)}, ModelCorrupt, "its `eos` token"),
        ({"model": "gemma4"}, ModelUnsupported, "a tokenizer of kind `gemma4`"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(changed, error, message):
    metadata = sentencepiece_metadata() | {PREFIX + key: value for key, value in changed.items()}
    with pytest.raises(error, match=message):
        Rebuilt(metadata)
