"""Whole conversions of tiny models, run by ONNX Runtime and judged by a plain float32 implementation."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olpipe.convert.architectures import ARCHITECTURES
from olpipe.convert.decoder_config import DECODERS
from olpipe.convert.gguf import read_header
from olpipe.convert.package import PRECISIONS, check_convertible, convert_gguf
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.errors import ModelCorrupt, ModelUnsupported, OlpipeError
from olpipe.sessions import open_session
from olpipe.testing.float_decoder import FloatDecoder
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary, write_tiny_gguf
from olpipe.testing.vision_models import write_text_gguf

TOKENS, MERGES = vocabulary()
TEXT_IDS = np.random.default_rng(5).integers(0, len(TOKENS), 40)

OTHERS = ("qwen3", "gemma3_text", "phi3")  # tiny models of other architectures; two of them have windows of 16 tokens


def write_variant(path, *, architecture="llama", metadata=None, tensors=None, without=()):
    """Write a tiny model with other metadata or tensors, or without some of them."""
    all_metadata = tiny_metadata(TOKENS, MERGES, 256, architecture=architecture) | (metadata or {})
    all_tensors = tiny_tensors(len(TOKENS), 3, biases=architecture == "qwen2") | (tensors or {})
    for name in without:
        all_metadata.pop(name, None)
        all_tensors.pop(name, None)
    write_gguf(path, all_metadata, all_tensors)
    return path


def convert(gguf, folder, **options):
    folder.mkdir()
    convert_gguf(gguf, folder, progress=options.pop("progress", lambda _: None), **options)
    return folder


def write_text_model(name, path):
    return write_tiny_gguf(path) if name == "llama" else write_text_gguf(name, path, seed=1)


def plain_logits(package, ids):
    """Return the logits after each token on plain ONNX Runtime, which gets them one by one."""
    cache = Cache(open_session(package / "model.onnx", threads=1), rows=1, length=len(ids))
    rows = []
    for at, token in enumerate(ids):
        cache.run(np.array([[token]], np.int64), [at], further={})
        rows.append(cache.logits(0))
    return np.array(rows)


def stepwise_logits(package, ids, *, first=1):
    """Return the logits after each token from the `first` on, appended one by one after a prefill.

    ONNX Runtime GenAI runs the package. It does not take all architectures.
    """
    import onnxruntime_genai as og

    model = og.Model(str(package))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(ids) + 1)
    generator = og.Generator(model, parameters)
    rows = []
    for start, end in [(0, first), *((at, at + 1) for at in range(first, len(ids)))]:
        generator.append_tokens(ids[start:end].astype(np.int32))
        rows.append(generator.get_logits().reshape(-1))
    return np.array(rows)


def relative_error(measured, expected):
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


def silent_channels():
    """Return an embedding and a norm that never use some channels: what is divided by their size is lost."""
    embedding, norm = (tiny_tensors(len(TOKENS), 3)[name] for name in ("token_embd.weight", "blk.0.attn_norm.weight"))
    embedding[:, 5:50] = norm[7] = 0
    return {"token_embd.weight": embedding, "blk.0.attn_norm.weight": norm}


ROPE_FACTORS = np.linspace(1, 4, 8).astype(np.float32)


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"without": ["output.weight"]},
        {"tensors": {"rope_freqs.weight": ROPE_FACTORS}},
        {"metadata": {"llama.rope.freq_base": 500.0}},
        {"tensors": silent_channels()},
        {"architecture": "qwen2"},
        {"architecture": "qwen2", "without": ["output.weight"]},
    ],
    ids=[
        "plain",
        "tied embeddings",
        "rotary factors",
        "another rotary base",
        "silent channels",
        "qwen2",
        "qwen2, tied embeddings",
    ],
)
def test_eight_bit_packages_say_what_the_float_model_says(tmp_path, variant):
    gguf = write_variant(tmp_path / "tiny.gguf", **variant)
    expected = FloatDecoder(gguf).logits(TEXT_IDS)
    measured = stepwise_logits(convert(gguf, tmp_path / "package", precision="int8"), TEXT_IDS)
    assert relative_error(measured, expected) < 0.06
    assert np.mean(measured.argmax(axis=1) == expected.argmax(axis=1)) >= 0.9


def test_the_float_model_would_notice_a_missing_bias(tmp_path):
    whole = write_variant(tmp_path / "whole.gguf", architecture="qwen2")
    zeros = {f"blk.{layer}.attn_q.bias": np.zeros(64, np.float32) for layer in range(2)}
    other = write_variant(tmp_path / "other.gguf", architecture="qwen2", tensors=zeros)
    measured = stepwise_logits(convert(other, tmp_path / "package", precision="int8"), TEXT_IDS)
    assert relative_error(measured, FloatDecoder(whole).logits(TEXT_IDS)) > 0.06


def test_every_convertible_architecture_is_described():
    assert tuple(DECODERS) == ARCHITECTURES


def test_a_package_names_its_architecture(tmp_path):
    gguf = write_variant(tmp_path / "tiny.gguf", architecture="qwen2")
    config = json.loads((convert(gguf, tmp_path / "package") / "genai_config.json").read_text())
    assert config["model"]["type"] == "qwen2"


def test_the_float_model_would_notice_a_wrong_rotary_base(tmp_path):
    right = write_variant(tmp_path / "right.gguf", metadata={"llama.rope.freq_base": 500.0})
    wrong = write_variant(tmp_path / "wrong.gguf")
    measured = stepwise_logits(convert(wrong, tmp_path / "package", precision="int8"), TEXT_IDS)
    assert relative_error(measured, FloatDecoder(right).logits(TEXT_IDS)) > 0.06


def test_linear_rotary_scaling_divides_positions(tmp_path):
    scaling = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0}
    scaled = convert(write_variant(tmp_path / "scaled.gguf", metadata=scaling), tmp_path / "scaled", precision="int8")
    factors = {"rope_freqs.weight": np.full(8, 2, np.float32)}
    expected = FloatDecoder(write_variant(tmp_path / "factors.gguf", tensors=factors)).logits(TEXT_IDS)
    assert relative_error(stepwise_logits(scaled, TEXT_IDS), expected) < 0.06


@pytest.mark.parametrize("name", OTHERS)
def test_eight_bits_cost_other_architectures_no_more_than_a_llama(tmp_path, name):
    gguf = write_text_model(name, tmp_path / "tiny.gguf")
    expected = FloatDecoder(gguf).logits(TEXT_IDS)
    measured = plain_logits(convert(gguf, tmp_path / "package", precision="int8"), TEXT_IDS)
    assert relative_error(measured, expected) < 0.06
    assert np.mean(measured.argmax(axis=1) == expected.argmax(axis=1)) >= 0.9


@pytest.mark.parametrize("name", ["llama", *OTHERS])
def test_four_bits_are_close_eight_bits_closer_and_floats_the_same(tmp_path, name):
    gguf = write_text_model(name, tmp_path / "tiny.gguf")
    expected = FloatDecoder(gguf).logits(TEXT_IDS)
    errors = {
        precision: relative_error(
            plain_logits(convert(gguf, tmp_path / precision, precision=precision), TEXT_IDS), expected
        )
        for precision in PRECISIONS
    }
    fours = (errors["int4"], errors["int4-fast"])
    assert max(fours) < 0.5
    assert errors["int8"] < min(fours) / 3
    assert errors["float32"] < 1e-5


def test_tokens_appended_together_give_the_logits_of_tokens_appended_one_by_one(tmp_path):
    package = convert(write_tiny_gguf(tmp_path / "tiny.gguf"), tmp_path / "package")
    np.testing.assert_allclose(
        stepwise_logits(package, TEXT_IDS, first=30)[0], stepwise_logits(package, TEXT_IDS)[29], atol=1e-3
    )


@pytest.mark.parametrize("length", [1, 2, 3, 20])
def test_the_last_token_alone_has_its_logits(tmp_path, length):
    import onnxruntime_genai as og

    package = convert(write_tiny_gguf(tmp_path / "tiny.gguf"), tmp_path / "package")
    expected = stepwise_logits(package, TEXT_IDS)
    model = og.Model(str(package))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(TEXT_IDS))
    generator = og.Generator(model, parameters)
    at = 0
    while at + length <= len(TEXT_IDS):
        generator.append_tokens(TEXT_IDS[at : at + length].astype(np.int32))
        at += length
        rows = generator.get_output("logits")
        assert rows.shape == (1, 1, len(TOKENS))
        np.testing.assert_allclose(rows[0, 0], expected[at - 1], atol=1e-3)


def test_the_same_file_gives_the_same_package(tmp_path):
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf")
    first, again = (convert(gguf, tmp_path / name) for name in ("first", "again"))
    names = sorted(path.name for path in first.iterdir())
    assert names == [
        "genai_config.json",
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert all((first / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_progress_counts_every_tensor_of_the_file(tmp_path):
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf")
    seen = []
    convert(gguf, tmp_path / "package", progress=seen.append)
    total = len(read_header(gguf).tensors)
    assert [step.completed for step in seen] == list(range(total + 1))
    assert {(step.status, step.total, step.unit) for step in seen} == {("converting", total, "tensors")}


def test_every_token_that_ends_an_answer_is_in_the_package(tmp_path):
    gguf = write_variant(tmp_path / "tiny.gguf", metadata={"tokenizer.ggml.eot_token_id": 0})
    config = json.loads((convert(gguf, tmp_path / "package") / "genai_config.json").read_text())
    assert config["model"]["eos_token_id"] == [2, 0]
    assert config["model"]["context_length"] == config["search"]["max_length"] == 256
    assert config["search"]["past_present_share_buffer"] is True


WIDE = np.ones((64, 64), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "variant"),
    [
        (
            ModelUnsupported,
            "has the architecture `mamba`, which cannot be converted",
            {"metadata": {"general.architecture": "mamba"}},
        ),
        (ModelUnsupported, "is a mixture of experts", {"metadata": {"llama.expert_count": 8}}),
        (ModelUnsupported, "positions by `yarn`", {"metadata": {"llama.rope.scaling.type": "yarn"}}),
        (ModelUnsupported, "rotates 8 of 16 values of a head", {"metadata": {"llama.rope.dimension_count": 8}}),
        (
            ModelUnsupported,
            "has a tensor `blk.0.attn_q.bias`, which a plain llama decoder does not have",
            {"tensors": {"blk.0.attn_q.bias": np.ones(64, np.float32)}},
        ),
        (
            ModelUnsupported,
            "cuts texts by the rule `viking`, which is not known",
            {"metadata": {"tokenizer.ggml.pre": "viking"}},
        ),
        (ModelUnsupported, "has a tokenizer of kind `gemma4`", {"metadata": {"tokenizer.ggml.model": "gemma4"}}),
        (ModelCorrupt, "says `llama.block_count` is nothing", {"without": ["llama.block_count"]}),
        (ModelCorrupt, "says `llama.block_count` is 4294967295", {"metadata": {"llama.block_count": 2**32 - 1}}),
        (ModelCorrupt, "says `llama.embedding_length` is 'wide'", {"metadata": {"llama.embedding_length": "wide"}}),
        (ModelCorrupt, "has 4 heads for 3 key/value heads", {"metadata": {"llama.attention.head_count_kv": 3}}),
        (ModelCorrupt, "has no tensor `blk.1.ffn_up.weight`", {"without": ["blk.1.ffn_up.weight"]}),
        (
            ModelCorrupt,
            "has no tensor `blk.1.attn_k.bias`",
            {"architecture": "qwen2", "without": ["blk.1.attn_k.bias"]},
        ),
        (ModelCorrupt, "has no tensor `token_embd.weight`", {"without": ["token_embd.weight"]}),
        (
            ModelCorrupt,
            r"tensor `blk.0.ffn_up.weight` is \(64, 64\), not \(128, 64\)",
            {"tensors": {"blk.0.ffn_up.weight": WIDE}},
        ),
        (
            ModelUnsupported,
            r"has the architecture `two\\nlines`",
            {"metadata": {"general.architecture": "two\nlines"}},
        ),
        (ModelCorrupt, "has the same token twice", {"metadata": {"tokenizer.ggml.tokens": ["a"] * len(TOKENS)}}),
        (ModelCorrupt, "not as many token types", {"metadata": {"tokenizer.ggml.token_type": [1, 1]}}),
        (ModelCorrupt, "merges `no such`", {"metadata": {"tokenizer.ggml.merges": ["no such"]}}),
        (ModelCorrupt, "has no token 9999, its `eos` token", {"metadata": {"tokenizer.ggml.eos_token_id": 9999}}),
        (
            ModelCorrupt,
            "does not say which token ends an answer",
            {"without": ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.token_type"]},
        ),
        (ModelCorrupt, "has no list of texts `tokenizer.ggml.tokens`", {"without": ["tokenizer.ggml.tokens"]}),
    ],
)
def test_what_cannot_be_converted_is_named_by_its_header_alone(tmp_path, error, message, variant):
    gguf = write_variant(tmp_path / "tiny.gguf", **variant)
    with pytest.raises(error, match=message) as checked:
        check_convertible(gguf)
    with pytest.raises(error) as caught:
        convert(gguf, tmp_path / "package")
    assert checked.value.message == caught.value.message
    assert checked.value.hint == caught.value.hint
    assert f"`{gguf}`" in caught.value.message
    assert list((tmp_path / "package").iterdir()) == []


@pytest.mark.parametrize(
    ("message", "tensors"),
    [
        ("tensor `blk.0.attn_k.weight` holds values that cannot be weights", {"blk.0.attn_k.weight": (32, 64, np.nan)}),
        ("tensor `blk.1.attn_k.weight` holds values that cannot be weights", {"blk.1.attn_k.weight": (32, 64, 3e38)}),
        ("divides rotary frequencies by zero", {"rope_freqs.weight": (8, 0)}),
    ],
)
def test_weights_that_are_none_are_named_by_who_reads_them_and_the_check_does_not(tmp_path, message, tensors):
    filled = {name: np.full(shape, value, np.float32) for name, (*shape, value) in tensors.items()}
    gguf = write_variant(tmp_path / "tiny.gguf", tensors=filled)
    check_convertible(gguf)
    with pytest.raises(ModelCorrupt, match=message) as caught:
        convert(gguf, tmp_path / "package")
    assert f"`{gguf}`" in caught.value.message


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])  # tests/vision has the others
def test_the_check_lets_pass_what_is_converted(tmp_path, architecture):
    check_convertible(write_variant(tmp_path / "tiny.gguf", architecture=architecture))


def test_the_check_of_a_huge_file_takes_little_memory(tmp_path):
    gguf = write_variant(tmp_path / "tiny.gguf", metadata={"general.architecture": "mamba"})
    with gguf.open("r+b") as file:
        file.truncate(1 << 40)  # a hole: the disk holds nothing of it
    tracemalloc.start()
    try:
        with pytest.raises(ModelUnsupported, match="the architecture `mamba`"):
            check_convertible(gguf)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8_000_000


def test_an_unknown_precision_is_the_callers_mistake(tmp_path):
    with pytest.raises(ValueError, match="precision is `int3`, not one of int4, int4-fast, int8"):
        convert(write_tiny_gguf(tmp_path / "tiny.gguf"), tmp_path / "package", precision="int3")


@pytest.fixture(scope="module")
def tiny_bytes(tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_file_converts_or_says_why_not(tmp_path_factory, tiny_bytes, changes):
    data = bytearray(tiny_bytes)
    for where, byte in changes:
        data[int(where * 16_000)] = byte  # the header and the first weights
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "damaged.gguf").write_bytes(data)
    try:
        convert(folder / "damaged.gguf", folder / "package")
    except OlpipeError as error:
        assert isinstance(error, ModelCorrupt | ModelUnsupported), error.message
