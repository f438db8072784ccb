"""Files that are taken for a model and are something else: the message says what they are, and what to do."""

import struct

import pytest

from olpipe.convert.adapter import read_adapter
from olpipe.convert.gguf import read_header
from olpipe.convert.model_folder import open_weights, read_json
from olpipe.errors import ModelCorrupt

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 98362432\n"
DAMAGED = "the file is damaged or incomplete: fetch it again"
LFS = (
    "is a Git LFS pointer, which only stands for the file",
    "run `git lfs pull` in the repository that it comes from",
)
PAGE = ("is a web page", "download the file itself, not the page about it")
MODELFILE = ("is a Modelfile, which only names a model", "use the .gguf file that it has after `FROM`")
ZIP = ("is a zip file, or a model of PyTorch", "use a .gguf file, or a folder with a `model.safetensors`")
SAFETENSORS = ("is a safetensors file", "use the folder that it lies in, with its `config.json`")
JSON = ("is a JSON file", "use a .gguf file or a package's folder")
OTHERS = [
    (POINTER, LFS),
    (b"<!DOCTYPE html>\n<html>", PAGE),
    (b"\n  <html lang=en>", PAGE),
    (b"FROM ./model.gguf\nPARAMETER temperature 0\n", MODELFILE),
    (b"# my model\n\nfrom llama3.2\n", MODELFILE),
    (b"PARAMETER temperature 1\r\nFROM x\r\n", MODELFILE),
    (b"PK\x03\x04" + bytes(30), ZIP),
]


@pytest.fixture
def write(tmp_path):
    def write(name, data):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def refused(read, path):
    with pytest.raises(ModelCorrupt) as caught:
        read(path)
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("data", "said"),
    [*OTHERS, (struct.pack("<Q", 90) + b'{"a":{}', SAFETENSORS), (b'{"model": 1}', JSON), (b" [1]", JSON)],
)
def test_what_is_no_gguf_file_is_called_what_it_is(write, data, said):
    path = write("x.gguf", data)
    assert refused(read_header, path) == (f"`{path}` {said[0]}, and not a GGUF file", said[1])


@pytest.mark.parametrize(("data", "said"), OTHERS)
def test_what_is_no_adapter_is_called_what_it_is(write, data, said):
    path = write("adapter.safetensors", data)
    assert refused(read_adapter, path) == (f"`{path}` {said[0]}, and not an adapter", said[1])


@pytest.mark.parametrize(("data", "said"), OTHERS)
def test_what_are_no_weights_or_settings_are_called_what_they_are(write, data, said):
    def read(path):
        with open_weights(path.parent):
            pass

    path = write("model.safetensors", data)
    assert refused(read, path) == (f"`{path}` {said[0]}, and not a safetensors file", said[1])
    path = write("config.json", data)
    assert refused(read_json, path) == (f"`{path}` {said[0]}, and not JSON", said[1])


@pytest.mark.parametrize(
    "data", [b"GGUF", b"GGUF\x03\0\0\0FROM x", bytes(64), b"GG", b"\x1fFROM x", b"from", b"Dear diary"]
)
def test_what_may_be_a_damaged_model_is_to_be_fetched_again(write, data):
    path = write("x.gguf", data)
    message, hint = refused(read_header, path)
    assert message.startswith(f"`{path}` is not a sound GGUF file: ")
    assert hint == DAMAGED


def test_a_damaged_safetensors_or_json_file_is_not_called_another_kind(write):
    for length in (90, ord("{"), ord("[")):
        path = write("adapter.safetensors", struct.pack("<Q", length) + b'{"a":{}')
        message, hint = refused(read_adapter, path)
        assert message.startswith(f"`{path}` is not a sound adapter: ")
        assert hint == DAMAGED
    path = write("config.json", b"{")
    assert refused(read_json, path) == (f"`{path}` is not JSON", None)
