"""Tokenizers of folders of Hugging Face: which are taken, what their tokens are for, and which are refused."""

from __future__ import annotations

import json

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from olpipe.convert.folder_tokenizer import read_folder_tokenizer
from olpipe.convert.package import convert_gguf
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.testing.decoder_folder import write_decoder_folder, write_json
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary

TOKENS, MERGES = vocabulary()
ROLES = ("<unk>", "<s>", "</s>", "[INST]")
WORDS = ("▁", *"abcdefghijklmnopqrstuvwxyz", "▁d", "do", "dog", "▁dog", "▁▁")
PIECES = (*ROLES, *(f"<0x{byte:02X}>" for byte in range(256)), *WORDS)
PIECE_MERGES = [("d", "o"), ("do", "g"), ("▁", "dog"), ("▁", "d"), ("▁", "▁")]


@pytest.fixture
def folder(tmp_path):
    metadata = tiny_metadata(TOKENS, MERGES, 256)
    return write_decoder_folder(tmp_path / "model", metadata, tiny_tensors(len(TOKENS), 3))


ROWS = len(TOKENS)


def read(folder, *, rows=ROWS, cut=False):
    return read_folder_tokenizer(folder, rows=rows, cut=cut)


def change(path, **values):
    content = json.loads(path.read_text()) | values
    write_json(path, {key: value for key, value in content.items() if value is not None})


def write_pieces(folder, *, normalizer=None, pre_tokenizer=None):
    """Write a tokenizer of the kind of SentencePiece, as makers of models save it, and return it."""
    places = {token: place for place, token in enumerate(PIECES)}
    made = Tokenizer(models.BPE(places, PIECE_MERGES, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer is not None:
        made.normalizer = normalizer
    if pre_tokenizer is not None:
        made.pre_tokenizer = pre_tokenizer
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens([AddedToken(one, normalized=False) for one in ROLES])
    made.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>", "add_bos_token": True}
    write_json(folder / "tokenizer_config.json", settings)
    return made


def vocabulary_of(folder):
    """Return the tokens of a folder as the runner of its package sees them."""
    tokenizer = read(folder, rows=len(PIECES))
    return Vocabulary(json.dumps(tokenizer.content), size=len(PIECES), end_tokens=tokenizer.special.ends)


REPLACED = normalizers.Replace(" ", "▁")
FORMS = {
    "llama 2": {"normalizer": normalizers.Sequence([normalizers.Prepend("▁"), REPLACED])},
    "gemma": {"normalizer": REPLACED, "pre_tokenizer": pre_tokenizers.Split(" ", "merged_with_previous")},
    "never": {"pre_tokenizer": pre_tokenizers.Metaspace("▁", prepend_scheme="never", split=False)},
    "first": {"pre_tokenizer": pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)},
    "first, split": {"pre_tokenizer": pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=True)},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_prompt_has_the_tokens_that_the_library_gives_it(folder, form):
    made = write_pieces(folder, **FORMS[form])
    for text in ("<s>dog  dog", "<s> a dog[INST]the dog</s> dog", "<s>Ü\n[INST] [INST]x"):
        assert vocabulary_of(folder).encode(text) == made.encode(text, add_special_tokens=False).ids


def test_a_space_that_is_put_only_where_there_is_none_is_refused(folder):
    write_pieces(folder, pre_tokenizer=pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=False))
    with pytest.raises(ModelUnsupported, match="a `Metaspace` with `prepend_scheme` `always`"):
        vocabulary_of(folder)


def test_the_roles_of_tokens_come_from_all_files(folder):
    write_pieces(folder)
    write_json(folder / "generation_config.json", {"eos_token_id": [3, 2]})
    special = read(folder, rows=len(PIECES)).special
    assert (special.begin, special.unknown, special.padding, special.add_begin) == (1, 0, None, True)
    assert special.ends == (2, 3)


def test_tokens_that_end_an_answer_by_their_spelling_are_found(folder):
    (folder / "generation_config.json").unlink()
    change(folder / "tokenizer_config.json", eos_token="<|endoftext|>")
    special = read(folder).special
    assert [TOKENS[end] for end in special.ends] == ["<|endoftext|>", "<|im_end|>"]


def test_what_is_put_before_a_text_shows_in_the_tokenizer_unless_the_settings_say_it(tmp_path):
    metadata = tiny_metadata(TOKENS, MERGES, 256) | {"tokenizer.ggml.add_bos_token": True}
    folder = write_decoder_folder(tmp_path / "begins", metadata, tiny_tensors(len(TOKENS), 3))
    assert read(folder).special.add_begin is True
    change(folder / "tokenizer_config.json", add_bos_token=False)
    assert read(folder).special.add_begin is False


def test_the_texts_of_tokens_are_kept_for_templates(folder, tmp_path):
    write_json(folder / "special_tokens_map.json", {"pad_token": "<|im_end|>", "image_token": {"content": "<image>"}})
    change(folder / "tokenizer_config.json", pad_token=None, extra_special_tokens={"tool_token": "<tool>"})
    (tmp_path / "package").mkdir()
    convert_gguf(folder, tmp_path / "package", progress=lambda _: None)
    settings = json.loads((tmp_path / "package" / "tokenizer_config.json").read_text())
    named = {name: settings[name] for name in ("pad_token", "image_token", "tool_token")}
    assert named == {"pad_token": "<|im_end|>", "image_token": "<image>", "tool_token": "<tool>"}


def test_cutting_and_padding_are_switched_off(folder):
    change(
        folder / "tokenizer.json",
        truncation={"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
    )
    assert read(folder).content["truncation"] is None


def test_added_tokens_without_a_row_are_cut_where_that_is_asked_for(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"].append(content["added_tokens"][0] | {"id": len(TOKENS), "content": "<image>"})
    write_json(folder / "tokenizer.json", content)
    assert len(read(folder, cut=True).tokens) == len(TOKENS)
    with pytest.raises(ModelCorrupt, match=f"has a token {len(TOKENS)}, but the embedding has only {len(TOKENS)} rows"):
        read(folder)


@pytest.mark.parametrize(
    ("error", "message", "values"),
    [
        (ModelUnsupported, "of kind `Unigram`", {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}),
        (ModelUnsupported, r"of kind `two\\nlines`", {"model": {"type": "two\nlines"}}),
        (ModelCorrupt, "has no `model`", {"model": None}),
        (ModelCorrupt, "cannot be read: ", {"model": {"type": "BPE", "vocab": 3}}),
        (ModelCorrupt, "without an id or a text", {"added_tokens": [{"content": "a"}]}),
        (ModelCorrupt, "without an id or a text", {"added_tokens": ["a"]}),
        (ModelUnsupported, "no token for each byte", {"pre_tokenizer": None}),
        (ModelCorrupt, "cannot be read: ", {"pre_tokenizer": {"type": "Python", "module": "os"}}),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_refused(folder, error, message, values):
    change(folder / "tokenizer.json", **values)
    with pytest.raises(error, match=message):
        read(folder)


def test_an_added_token_keeps_its_id(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"].append(content["added_tokens"][0] | {"id": 999, "content": "<far>"})
    write_json(folder / "tokenizer.json", content)
    with pytest.raises(ModelCorrupt, match="the token `<far>` has the id 999"):
        read(folder, rows=2000)


def test_a_folder_without_a_fast_tokenizer_says_how_to_get_one(folder):
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    with pytest.raises(ModelUnsupported, match=r"has no `tokenizer\.json`") as caught:
        read(folder)
    assert "a recent version of transformers" in caught.value.hint


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("`eos_token` is `<end>`, which is no token", {"eos_token": "<end>"}),
        ("`chat_template` that is neither a text", {"chat_template": 3}),
        ("`chat_template` that is neither a text", {"chat_template": [{"name": "default"}]}),
        ("is not valid Unicode", {"chat_template": "\ud800"}),
    ],
)
def test_settings_that_make_no_sense_are_refused(folder, message, values):
    change(folder / "tokenizer_config.json", **values)
    with pytest.raises(ModelCorrupt, match=message):
        read(folder)


def test_an_end_token_that_is_no_token_is_refused(folder):
    write_json(folder / "generation_config.json", {"eos_token_id": [2, 100000]})
    with pytest.raises(ModelCorrupt, match="has no token 100000, its `eos` token"):
        read(folder)
