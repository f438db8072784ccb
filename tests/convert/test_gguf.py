"""The reader agrees with the `gguf` package on sound files and refuses unsound ones in one line."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.convert.gguf import open_gguf, read_header
from olpipe.errors import ModelCorrupt, ModelNotFound, ModelUnsupported
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import write_tiny_gguf

HINT = "the file is damaged or incomplete: fetch it again"


def small_gguf() -> bytes:
    """Return the bytes of a file with one key of each kind and two tensors."""
    metadata = {
        "general.architecture": "llama",
        "llama.context_length": 64,
        "yes": True,
        "half": 0.5,
        "words": ["a", "bc"],
        "numbers": [1, -2],
    }
    tensors = {"first": np.arange(6, dtype=np.float32).reshape(2, 3), "second": np.ones(4, np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "small.gguf")
        write_gguf(path, metadata, tensors)
        return path.read_bytes()


SMALL = small_gguf()


def tensor_entry(name: bytes) -> int:
    """Return where in SMALL the entry of a tensor begins: its number of dimensions, after the name."""
    return SMALL.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)


def patched(at: int, layout: str, *values: int) -> bytes:
    data = bytearray(SMALL)
    struct.pack_into("<" + layout, data, at, *values)
    return bytes(data)


FIRST = tensor_entry(b"first")  # uint32 dimensions, 2 x uint64 shape, uint32 type, uint64 offset
SECOND = tensor_entry(b"second")  # uint32 dimensions, uint64 shape, uint32 type, uint64 offset
WORDS = SMALL.index(b"words") + 5  # uint32 array, uint32 string, uint64 count


@pytest.fixture
def write(tmp_path):
    def write(data: bytes):
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return path

    return write


def test_metadata_and_tensors_are_those_the_gguf_package_reads(tmp_path):
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    oracle = gguf.GGUFReader(path)
    ours = open_gguf(path)
    for key, field in oracle.fields.items():
        if not key.startswith("GGUF."):
            expected = field.contents()
            assert ours.header.metadata[key] == (tuple(expected) if isinstance(expected, list) else expected)
    assert [*ours.header.tensors] == [tensor.name for tensor in oracle.tensors]
    for tensor in oracle.tensors:
        info = ours.header.tensors[tensor.name]
        assert info.shape == tuple(reversed(tensor.shape.tolist()))
        np.testing.assert_array_equal(ours.rows(info).view("<f4").reshape(info.shape), tensor.data)


def test_the_header_answers_what_people_ask_of_a_model(tmp_path):
    header = read_header(write_tiny_gguf(tmp_path / "tiny.gguf", context_length=512))
    assert header.architecture == "llama"
    assert header.context_length == 512
    assert header.embedding_length == 64
    assert header.file_type == "F32"
    assert header.parameter_count == sum(int(np.prod(info.shape)) for info in header.tensors.values())


def test_a_file_that_says_little_has_empty_answers(tmp_path):
    path = tmp_path / "bare.gguf"
    write_gguf(path, {}, {"one": np.ones(32, np.float32)})
    header = read_header(path)
    assert (header.architecture, header.context_length, header.embedding_length) == ("", 0, 0)
    assert header.file_type == "F32"


def test_version_2_is_read_like_version_3(write):
    assert read_header(write(patched(4, "I", 2))).metadata["words"] == ("a", "bc")


@pytest.mark.parametrize(("version", "what"), [(1, "version 1 of the format"), (3 << 24, "a big-endian file")])
def test_other_versions_are_unsupported_rather_than_damaged(write, version, what):
    with pytest.raises(ModelUnsupported, match=what):
        read_header(write(patched(4, "I", version)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGML" + SMALL[4:], "it does not begin with `GGUF`"),
        (SMALL[:3], "the magic number reaches past byte 3"),
        (patched(8, "Q", 2**63), "it claims 9223372036854775808 tensors"),
        (patched(16, "Q", 60_000), "it claims 60000 metadata keys"),
        (patched(24, "Q", 2**64 - 1), "a metadata key claims 18446744073709551615 bytes"),
        (patched(WORDS + 8, "Q", 2**40), "it claims 1099511627776 items in `words`"),
        (patched(WORDS, "I", 99), "`words` has the unknown value type 99"),
        (patched(WORDS + 4, "I", 9), "`words` has the unknown value type 9"),
        (SMALL.replace(b"words", b"w\xffrds"), "a metadata key is not UTF-8"),
        (patched(FIRST, "I", 9), "tensor `first` has 9 dimensions"),
        (patched(FIRST + 4, "Q", 0), "tensor `first` of type F32 cannot have the shape"),
        (patched(FIRST + 4, "QQ", 2**62, 2**62), "tensor `first` reaches past the end of the file"),
        (patched(FIRST + 20, "I", 77), "tensor `first` has the unknown type 77"),
        (patched(FIRST + 20, "I", 2), "tensor `first` of type Q4_0 cannot have the shape"),
        (patched(FIRST + 24, "Q", 8), "tensor `first` lies at 8, which is not a multiple of 32"),
        (patched(SECOND + 16, "Q", 0), "tensors `first` and `second` overlap"),
        (patched(SECOND + 16, "Q", 2**63), "tensor `second` reaches past the end of the file"),
        (SMALL[:-32], "tensor `second` reaches past the end of the file"),
    ],
)
def test_malformed_files_are_refused_in_one_clear_line(write, data, message):
    path = write(data)
    with pytest.raises(ModelCorrupt) as caught:
        read_header(path)
    assert caught.value.message.startswith(f"`{path}` is not a sound GGUF file: ")
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint == HINT


def test_the_same_key_or_tensor_twice_is_refused(tmp_path, write):
    doubled = tmp_path / "doubled.gguf"
    write_gguf(doubled, {"aa": 1, "bb": 2}, {"xx": np.ones(8, np.float32), "yy": np.ones(8, np.float32)})
    sound = doubled.read_bytes()
    with pytest.raises(ModelCorrupt, match="the metadata key `aa` is there twice"):
        read_header(write(sound.replace(b"bb", b"aa")))
    with pytest.raises(ModelCorrupt, match="tensor `xx` is there twice"):
        read_header(write(sound.replace(b"yy", b"xx")))


def test_an_alignment_that_is_no_power_of_two_is_refused(tmp_path):
    path = tmp_path / "odd.gguf"
    write_gguf(path, {"general.alignment": 24}, {})
    with pytest.raises(ModelCorrupt, match=r"`general\.alignment` is 24, not a power of two"):
        read_header(path)


def test_an_empty_file_and_a_missing_one_are_told_apart(tmp_path, write):
    with pytest.raises(ModelCorrupt, match=r"model\.gguf` is empty"):
        read_header(write(b""))
    with pytest.raises(ModelNotFound, match=r"nowhere\.gguf` is not a file"):
        read_header(tmp_path / "nowhere.gguf")


@given(
    changes=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=8),
    length=st.integers(1, len(SMALL)) | st.just(len(SMALL)),
)
def test_no_damage_gets_past_the_reader_as_another_error(tmp_path_factory, changes, length):
    data = bytearray(SMALL)
    for at, byte in changes:
        data[at] = byte
    path = tmp_path_factory.mktemp("fuzz") / "model.gguf"
    path.write_bytes(data[:length])
    try:
        file = open_gguf(path)
    except (ModelCorrupt, ModelUnsupported):
        return
    for info in file.header.tensors.values():
        assert file.rows(info).size == info.size_bytes
