"""Adapters, against a plain float32 implementation of the merged model, and files that are none."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olpipe.convert.adapter import read_adapter, write_adapter
from olpipe.convert.floats import FloatTensors
from olpipe.convert.gguf import open_gguf
from olpipe.convert.package import convert_gguf
from olpipe.errors import ModelCorrupt, ModelNotFound
from olpipe.testing.float_decoder import FloatDecoder
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary

TOKENS, MERGES = vocabulary()
TEXT_IDS = np.random.default_rng(5).integers(0, len(TOKENS), 30)
ADAPTED = ("blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.1.ffn_down.weight", "blk.1.attn_output.weight")
RANK, SCALE = 4, 2.0


def write_model(path, tensors):
    write_gguf(path, tiny_metadata(TOKENS, MERGES, 256), tensors)
    return path


@pytest.fixture
def tensors():
    return tiny_tensors(len(TOKENS), 3)


@pytest.fixture
def pairs(tensors):
    random = np.random.default_rng(7)

    def factor(rows, columns):  # values that float16 keeps
        return random.normal(0, 0.1, (rows, columns)).astype(np.float16).astype(np.float32)

    return {name: (factor(RANK, tensors[name].shape[1]), factor(tensors[name].shape[0], RANK)) for name in ADAPTED}


def merged(tensors, pairs):
    return tensors | {name: tensors[name] + SCALE * (b @ a) for name, (a, b) in pairs.items()}


def logits(package):
    import onnxruntime_genai as og

    model = og.Model(str(package))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(TEXT_IDS) + 1)
    generator = og.Generator(model, parameters)
    rows = []
    for token in TEXT_IDS:
        generator.append_tokens(np.array([token], np.int32))
        rows.append(generator.get_logits().reshape(-1))
    return np.array(rows)


def relative_error(measured, expected):
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


def test_an_adapted_tensor_is_the_weight_plus_the_scaled_product(tmp_path, tensors, pairs):
    write_adapter(tmp_path / "adapter", pairs, scale=SCALE)
    adapter = read_adapter(tmp_path / "adapter")
    floats = FloatTensors(open_gguf(write_model(tmp_path / "tiny.gguf", tensors)), adapter)
    for name, expected in merged(tensors, pairs).items():
        if expected.ndim == 2:
            order = np.random.default_rng(0).permutation(len(expected))
            np.testing.assert_allclose(np.concatenate(list(floats.rows(name))), expected, atol=1e-5)
            np.testing.assert_allclose(np.concatenate(list(floats.rows(name, order))), expected[order], atol=1e-5)


def test_a_converted_model_with_an_adapter_says_what_the_merged_float_model_says(tmp_path, tensors, pairs):
    gguf = write_model(tmp_path / "tiny.gguf", tensors)
    write_adapter(tmp_path / "adapter", pairs, scale=SCALE)
    (tmp_path / "package").mkdir()
    convert_gguf(gguf, tmp_path / "package", adapter=tmp_path / "adapter", precision="int8", progress=lambda _: None)
    measured = logits(tmp_path / "package")
    expected = FloatDecoder(write_model(tmp_path / "merged.gguf", merged(tensors, pairs))).logits(TEXT_IDS)
    assert relative_error(measured, expected) < 0.06
    assert relative_error(measured, FloatDecoder(gguf).logits(TEXT_IDS)) > 0.2


def test_an_adapter_for_another_model_is_refused(tmp_path, tensors, pairs):
    gguf = write_model(tmp_path / "tiny.gguf", tensors)

    def convert(changed):
        write_adapter(tmp_path / "adapter", changed, scale=SCALE)
        convert_gguf(gguf, tmp_path, adapter=tmp_path / "adapter", progress=lambda _: None)

    a, b = pairs["blk.0.attn_q.weight"]
    with pytest.raises(ModelCorrupt, match=r"adapts `blk.9.attn_q.weight`, which is not a layer's matrix of"):
        convert(pairs | {"blk.9.attn_q.weight": (a, b)})
    with pytest.raises(ModelCorrupt, match=r"adapts `output_norm.weight`, which is not a layer's matrix of"):
        convert(pairs | {"output_norm.weight": (a, b)})
    with pytest.raises(ModelCorrupt, match=r"adapts `blk.0.attn_q.weight` as \(60, 64\), but it is \(64, 64\)"):
        convert(pairs | {"blk.0.attn_q.weight": (a, b[:60])})
    with pytest.raises(ModelCorrupt, match=r"adapts `blk.0.attn_norm.weight` as \(64, 64\), but it is \(64,\)"):
        convert(pairs | {"blk.0.attn_norm.weight": (a, b)})


GOOD_A = {"dtype": "F16", "shape": [1, 4], "data_offsets": [0, 8]}
GOOD_B = {"dtype": "F16", "shape": [2, 1], "data_offsets": [8, 12]}
C = {"dtype": "F16", "shape": [1, 4], "data_offsets": [12, 20]}
GOOD = {"__metadata__": {"scale": "2.0"}, "x.a": GOOD_A, "x.b": GOOD_B}


def file_bytes(header, data=bytes(12)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_the_smallest_sound_adapter_is_read(tmp_path):
    (tmp_path / "adapter").write_bytes(file_bytes(GOOD))
    a, b = read_adapter(tmp_path / "adapter").pairs["x"]
    assert (a.shape, b.shape) == ((1, 4), (2, 1))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is too short"),
        (struct.pack("<Q", 1 << 60) + b"{}", "it claims a header of 1152921504606846976 bytes in 10"),
        (struct.pack("<Q", (4 << 20) + 1) + b" " * (5 << 20), "it claims a header of 4194305 bytes in 5242888"),
        (file_bytes(b"{no"), "invalid JSON in header: key must be a string"),
        (file_bytes(b"[" * 100_000), "invalid JSON in header: invalid type: sequence"),
        (file_bytes([1]), "invalid JSON in header: invalid type: sequence"),
        (file_bytes(b'{"x.a":' + b"[" * 100_000), "invalid JSON in header: "),
        (file_bytes({"x.a": GOOD_A, "x.b": GOOD_B}), "its metadata has no number `scale`"),
        (file_bytes(GOOD | {"__metadata__": {"scale": "much"}}), "its metadata has no number `scale`"),
        (file_bytes(GOOD | {"__metadata__": {"scale": "inf"}}), "its scale is inf"),
        (file_bytes(GOOD | {"y": C}, bytes(20)), "`y` ends neither in `.a` nor in `.b`"),
        (file_bytes(GOOD | {"x.b": 3}), "invalid JSON in header: invalid type: integer `3`"),
        (file_bytes(GOOD | {"x.b": GOOD_B | {"dtype": "I16"}}), "`x.b` is of type `I16`, not one of F16, F32"),
        (file_bytes(GOOD | {"x.b": GOOD_B | {"dtype": ["F16"]}}), "invalid JSON in header: invalid type: sequence"),
        (file_bytes(GOOD | {"x.b": GOOD_B | {"shape": [2, 1, 1]}}), "`x.b` does not have two dimensions"),
        (
            file_bytes(GOOD | {"x.b": GOOD_B | {"shape": [2, True]}}),
            "invalid JSON in header: invalid type: boolean `true`",
        ),
        (
            file_bytes(GOOD | {"x.b": GOOD_B | {"data_offsets": [-8, 4]}}),
            "invalid JSON in header: invalid value: integer `-8`",
        ),
        (file_bytes(GOOD | {"x.b": GOOD_B | {"shape": [0, 1], "data_offsets": [8, 8]}}, bytes(8)), "which is empty"),
        (
            file_bytes(GOOD | {"x.b": GOOD_B | {"shape": [2, 1 << 40]}}),
            "invalid shape, data type, or offset for tensor",
        ),
        (
            file_bytes(GOOD | {"x.b": GOOD_B | {"shape": [2, 513], "data_offsets": [8, 2060]}}, bytes(2060)),
            "of a rank above 512",
        ),
        (
            file_bytes(GOOD | {"x.b": GOOD_B | {"data_offsets": [8, 10]}}),
            "invalid shape, data type, or offset for tensor",
        ),
        (file_bytes(GOOD | {"x.b": GOOD_B | {"data_offsets": [6, 10]}}), "invalid offset for tensor `x.b`"),
        (file_bytes(GOOD, bytes(11)), "incomplete metadata, file not fully covered"),
        (file_bytes(GOOD, bytes(13)), "incomplete metadata, file not fully covered"),
        (file_bytes({"__metadata__": {"scale": "1"}}, b""), "it has no tensors"),
        (
            file_bytes({key: GOOD[key] for key in ("__metadata__", "x.a")}, bytes(8)),
            "does not have both of its factors",
        ),
        (
            file_bytes(GOOD | {"x.b": GOOD_B | {"shape": [1, 2]}}),
            r"the factors of `x`, \(1, 4\) and \(1, 2\), have different ranks",
        ),
        (file_bytes(GOOD, b"\xff\x7f" * 6), "`x.a` holds values that are infinite or not numbers"),
    ],
)
def test_a_damaged_adapter_says_what_is_wrong(tmp_path, data, message):
    path = tmp_path / "adapter"
    path.write_bytes(data)
    with pytest.raises(ModelCorrupt, match=message) as caught:
        read_adapter(path)
    assert f"`{path}` is not a sound adapter" in caught.value.message


def test_a_missing_adapter_is_named(tmp_path):
    with pytest.raises(ModelNotFound, match="is not a file"):
        read_adapter(tmp_path / "adapter")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_changed_adapter_is_read_or_refused(tmp_path, changes):
    data = bytearray(file_bytes(GOOD))
    for where, byte in changes:
        data[int(where * len(data))] = byte
    (tmp_path / "adapter").write_bytes(data)
    try:
        assert all(np.isfinite(b).all() for _, b in read_adapter(tmp_path / "adapter").pairs.values())
    except ModelCorrupt as error:
        assert "is not a sound adapter" in error.message
