"""The tokens of a model, read from the files that its makers publish."""

import json

import pytest

from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ModelCorrupt
from olpipe.testing.models import write_tokenizer


@pytest.fixture
def package(tmp_path):
    return write_tokenizer(tmp_path / "package")


def configure(package, **changes):
    path = package / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def test_size_and_end_are_those_of_the_files(package):
    tokens = json.loads((package / "tokenizer.json").read_text())["model"]["vocab"]
    vocabulary = Vocabulary.read(package)
    assert vocabulary.size == len(tokens) == max(tokens.values()) + 1
    assert vocabulary.end_tokens == {tokens["<|im_end|>"]} == {2}
    assert vocabulary.bytes_of(vocabulary.encode("a dog 图")) == "a dog 图".encode()


def test_the_end_may_be_written_with_flags(package):
    configure(package, eos_token={"content": "<|endoftext|>", "lstrip": False})
    assert Vocabulary.read(package).end_tokens == {0}


def test_who_knows_better_says_so(package):
    configure(package, eos_token=None)
    vocabulary = Vocabulary.read(package, size=1000, end_tokens=[1, 2])
    assert (vocabulary.size, vocabulary.end_tokens) == (1000, {1, 2})


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("tokenizer.json", None, "No such file"),
        ("tokenizer.json", "garbage", "Expecting value"),
        ("tokenizer.json", "{}", "`model` is missing"),
        ("tokenizer.json", "[]", "indices must be integers"),
        ("tokenizer_config.json", None, "No such file"),
        ("tokenizer_config.json", "{}", "`eos_token` is missing"),
        ("tokenizer_config.json", '{"eos_token": "</s>"}', "`</s>` is missing"),
    ],
)
def test_damaged_files_are_a_damaged_model(package, name, text, reason):
    (package / name).unlink()
    if text is not None:
        (package / name).write_text(text)
    with pytest.raises(ModelCorrupt, match=f"^the tokenizer in `.*package` cannot be read: .*{reason}"):
        Vocabulary.read(package)
