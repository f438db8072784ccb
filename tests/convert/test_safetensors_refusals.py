"""Folders of Hugging Face that cannot be converted, are damaged or are hostile: one clear error each."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olpipe.convert.model_folder import MAX_HEADER_BYTES, refuse_other_weights
from olpipe.convert.package import check_convertible, convert_gguf
from olpipe.convert.shards import read_shards
from olpipe.errors import ModelCorrupt, ModelUnsupported, OlpipeError
from olpipe.testing.decoder_folder import folder_tensors, write_decoder_folder, write_json, write_safetensors
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary
from olpipe.testing.vision import texts

TOKENS, MERGES = vocabulary()
METADATA = tiny_metadata(TOKENS, MERGES, 256)
TENSORS = tiny_tensors(len(TOKENS), 3)
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path):
    return write_decoder_folder(tmp_path / "model", METADATA, TENSORS)


@pytest.fixture
def sharded(tmp_path):
    return write_decoder_folder(tmp_path / "sharded", METADATA, TENSORS, shards=2)


def change(path, **values):
    """Change values of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | values
    write_json(path, {key: value for key, value in content.items() if value is not None})


def header_of(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(path, header, data=None):
    """Write a file again with another header, as text or as an object, and perhaps other weights."""
    _, weights = header_of(path)
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + (weights if data is None else data))


def refused(folder, error=ModelCorrupt):
    with pytest.raises(error) as caught:
        check_convertible(folder)
    assert caught.value.message.isprintable()
    return caught.value


@pytest.mark.parametrize(
    ("error", "message", "values"),
    [
        (ModelUnsupported, "has the architecture `MambaForCausalLM`", {"architectures": ["MambaForCausalLM"]}),
        (ModelUnsupported, "has the architecture `mixtral`", {"architectures": None, "model_type": "mixtral"}),
        (ModelUnsupported, "has no architecture, which cannot", {"architectures": None, "model_type": None}),
        (ModelUnsupported, r"has the architecture `two\\nlines`", {"architectures": ["two\nlines"]}),
        (ModelUnsupported, "has no architecture", {"architectures": [7]}),
        (ModelUnsupported, "of a model that reads images", {"vision_config": {"depth": 2}}),
        (ModelUnsupported, "quantised weights", {"quantization_config": {"quant_method": "gptq"}}),
        (ModelUnsupported, "`hidden_act` is `relu`; only `silu`", {"hidden_act": "relu"}),
        (ModelUnsupported, "has `final_logit_softcapping`", {"final_logit_softcapping": 30.0}),
        (ModelUnsupported, "rotary positions by `yarn`", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
        (ModelUnsupported, "by `longrope`", {"rope_scaling": {"type": "longrope"}}),
        (ModelUnsupported, "`partial_rotary_factor` is 0.5; only 1 is converted", {"partial_rotary_factor": 0.5}),
        (ModelCorrupt, "`rope_scaling` is not an object", {"rope_scaling": [1]}),
        (ModelCorrupt, "`rope_theta` is `-1`, not a positive number", {"rope_theta": -1}),
        (ModelCorrupt, "`num_hidden_layers` is nothing", {"num_hidden_layers": None}),
        (ModelCorrupt, "`num_hidden_layers` is `1000000000`", {"num_hidden_layers": 10**9}),
        (ModelCorrupt, "`head_dim` is `1073741824`", {"head_dim": 1 << 30}),
        (ModelCorrupt, "`hidden_size` is `True`", {"hidden_size": True}),
        (ModelCorrupt, "`head_dim` is `0`", {"num_attention_heads": 1000, "head_dim": None}),
        (ModelCorrupt, r"layers\.2\.input_layernorm\.weight", {"num_hidden_layers": 3}),
        (ModelUnsupported, r"`model\.layers\.1\.[a-z_.]+`, which a plain llama", {"num_hidden_layers": 1}),
        (ModelCorrupt, r"`model\.layers\.0\.mlp\.[a-z_]+\.weight` is \(\d+, \d+\), not", {"intermediate_size": 256}),
        (
            ModelCorrupt,
            "`low_freq_factor` is 4, and `high_freq_factor` 4",
            {"rope_scaling": {"rope_type": "llama3", "low_freq_factor": 4.0}},
        ),
    ],
)
def test_what_a_configuration_says_is_checked(folder, error, message, values):
    change(folder / "config.json", **values)
    with pytest.raises(error, match=message):
        check_convertible(folder)


def test_an_architecture_that_is_not_known_is_refused_before_the_weights_are_opened(folder):
    change(folder / "config.json", architectures=["MambaForCausalLM"])
    (folder / "model.safetensors").write_bytes(b"")
    error = refused(folder, ModelUnsupported)
    assert error.hint.startswith("these can be converted from a folder: LlamaForCausalLM, Qwen2ForCausalLM")


def test_models_that_see_are_refused_with_what_to_use_instead(folder):
    values = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "vision_config": {}}
    write_json(folder / "config.json", values)
    (folder / "model.safetensors").unlink()
    error = refused(folder, ModelUnsupported)
    assert "`Qwen2_5_VLForConditionalGeneration`, of a model that reads images" in error.message
    assert error.hint == "use its GGUF file and that of its projector, each behind a `FROM` of its own"


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("windows in other layers than five of six", {"sliding_window_pattern": 4}),
        ("windows in other layers than five of six", {"layer_types": ["full_attention"] * 7}),
        ("windows in other layers than five of six", {"layer_types": "full_attention"}),
        ("`query_pre_attn_scalar` is not 32", {"query_pre_attn_scalar": 64}),
        ("`hidden_activation` is `silu`", {"hidden_activation": "silu"}),
        ("has `use_bidirectional_attention`", {"use_bidirectional_attention": True}),
    ],
)
def test_a_gemma_3_of_another_kind_is_refused(tmp_path, message, values):
    content = texts.content("gemma3_text", 1)
    folder = write_decoder_folder(tmp_path / "model", content.metadata, content.tensors, config=values)
    assert message in refused(folder, ModelUnsupported).message


def test_a_folder_of_pickles_is_refused_and_they_are_not_loaded(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model-00001-of-00002.bin").write_bytes(b"\x80\x02cos\nsystem\n")
    with pytest.raises(ModelUnsupported, match=r"`pytorch_model-00001-of-00002\.bin`, a pickle") as caught:
        refuse_other_weights(folder)
    assert caught.value.hint == "use the same model in safetensors files, or a GGUF file"


def test_shards_without_an_index_are_refused(sharded):
    (sharded / INDEX).unlink()
    with pytest.raises(ModelUnsupported, match=r"no `model\.safetensors\.index\.json`"):
        refuse_other_weights(sharded)


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/model.safetensors",
        "sub/model.safetensors",
        "sub\\model.safetensors",
        "C:model.safetensors",
        "..",
        "",
        ".hidden.safetensors",
        "pytorch_model.bin",
        "two\nlines.safetensors",
    ],
)
def test_an_index_names_no_file_elsewhere(sharded, name):
    (sharded.parent / "model.safetensors").write_bytes((sharded / "model-00001-of-00002.safetensors").read_bytes())
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"]["model.norm.weight"] = name
    write_json(sharded / INDEX, index)
    assert "not a file like `model-00001-of-00002.safetensors` beside it" in refused(sharded).message


def test_a_missing_shard_is_named(sharded):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    error = refused(sharded)
    assert error.message.endswith("lacks 1 of 2 files with weights: `model-00002-of-00002.safetensors`")
    assert error.hint == "fetch all files of the model"


def test_a_tensor_in_two_shards_is_refused(sharded):
    write_safetensors(sharded / "model-00002-of-00002.safetensors", folder_tensors(METADATA, TENSORS))
    assert "twice: in `model-00001-of-00002.safetensors` and in" in refused(sharded).message


def test_a_tensor_that_is_not_where_the_index_says_is_named(sharded):
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"]["model.extra.weight"] = "model-00001-of-00002.safetensors"
    write_json(sharded / INDEX, index)
    assert "says that `model.extra.weight` is in `model-00001-of-00002.safetensors`" in refused(sharded).message


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "{"])
def test_an_index_that_is_none_is_refused(sharded, content):
    (sharded / INDEX).write_text(content)
    assert INDEX in refused(sharded).message


def test_an_index_that_names_a_tensor_twice_is_refused(sharded):
    text = (sharded / INDEX).read_text()
    entry = '"model.norm.weight": "model-00001-of-00002.safetensors", '
    (sharded / INDEX).write_text(text.replace('"weight_map": {', '"weight_map": {' + 2 * entry))
    assert "has `model.norm.weight` twice" in refused(sharded).message


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("overlaps another one|does not begin where", {"data_offsets": [4, 260]}),
        ("has no type, shape and place", {"data_offsets": [-256, 0]}),
        ("has no type, shape and place", {"data_offsets": [0, 256.0]}),
        ("has no type, shape and place", {"data_offsets": [256]}),
        ("has no type, shape and place", {"shape": [1 << 63]}),
        ("has no type, shape and place", {"shape": "64"}),
        ("has no type, shape and place", {"dtype": 4}),
        (r"of shape \[65\] has 256 bytes", {"shape": [65]}),
        (r"of shape \[0\] has 0 bytes", {"shape": [0], "data_offsets": [0, 0]}),
    ],
)
def test_a_header_is_compared_with_its_file(folder, message, said):
    path = folder / "model.safetensors"
    header, _ = header_of(path)
    with_header(path, header | {NORM: header[NORM] | said})
    with pytest.raises(ModelCorrupt, match=f"is not a sound safetensors file: .*({message})"):
        check_convertible(folder)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("as `F8_E4M3`, which cannot be converted", {"dtype": "F8_E4M3"}),
        (r"as `two\nlines`", {"dtype": "two\nlines"}),
        ("has 5 dimensions", {"shape": [1, 1, 1, 1, 64]}),
        ("has 0 dimensions", {"shape": []}),
    ],
)
def test_tensors_of_another_kind_are_refused_by_name(folder, message, said):
    path = folder / "model.safetensors"
    header, _ = header_of(path)
    with_header(path, header | {NORM: header[NORM] | said})
    assert message in refused(folder, ModelUnsupported).message


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ("it is too short", b"short"),
        ("it claims a header of", (1 << 60).to_bytes(8, "little") + b"{}"),
        ("it claims a header of", (0).to_bytes(8, "little") + b"{}"),
        ("its header is not JSON", (5).to_bytes(8, "little") + b"{abc}"),
        ("its header is not JSON", (1 << 16).to_bytes(8, "little") + b"[" * (1 << 16)),
        ("its header is not a JSON object", (2).to_bytes(8, "little") + b"[]"),
        ("is there twice", (16).to_bytes(8, "little") + b'{"a": 1, "a": 2}'),
        ("is a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        ("is a web page", b"<!doctype html><html>Sign in</html>"),
    ],
)
def test_a_file_that_is_no_safetensors_file_is_named(folder, message, data):
    (folder / "model.safetensors").write_bytes(data)
    assert message in refused(folder).message


def test_a_tensor_that_is_larger_than_the_file_is_refused(folder):
    said = {NORM: {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}
    with_header(folder / "model.safetensors", said)
    assert f"tensor `{NORM}` reaches past the end of the file" in refused(folder).message


def test_weights_behind_the_last_tensor_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"\0")
    assert "its tensors end at byte" in refused(folder).message


def test_a_header_that_is_far_too_long_is_not_read(folder):
    size = MAX_HEADER_BYTES + 1
    with (folder / "model.safetensors").open("wb") as file:
        file.write(size.to_bytes(8, "little"))
        file.truncate(2 * size)
    tracemalloc.start()
    try:
        assert "it claims a header" in refused(folder).message
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < MAX_HEADER_BYTES // 2


def test_weights_that_are_not_numbers_are_named(folder, tmp_path):
    path = folder / "model.safetensors"
    header, data = header_of(path)
    with_header(path, header, b"\xff" * len(data))
    (tmp_path / "package").mkdir()
    with pytest.raises(ModelCorrupt, match="holds values that cannot be weights"):
        convert_gguf(folder, tmp_path / "package", progress=lambda _: None)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_decoder_folder(tmp_path_factory.mktemp("sound") / "model", METADATA, TENSORS, shards=2)


FILES = ("config.json", INDEX, "model-00001-of-00002.safetensors", "tokenizer.json", "tokenizer_config.json")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(FILES),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_damaged_folder_passes_the_check_or_says_why_not(sound, name, changes):
    path = sound / name
    before = path.read_bytes()
    length = 8 + int.from_bytes(before[:8], "little") if name.endswith(".safetensors") else len(before)
    data = bytearray(before)
    for place, byte in changes:
        data[int(place * length)] = byte
    path.write_bytes(data)
    try:
        check_convertible(sound)
    except OlpipeError as error:
        assert isinstance(error, ModelCorrupt | ModelUnsupported)
        assert error.message.isprintable()
    finally:
        path.write_bytes(before)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["dtype", "shape", "a"]), inner),
    max_leaves=6,
)
SHARDS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "I8"]) | VALUES,
        "shape": st.lists(st.integers(0, 9) | st.integers(), max_size=3) | VALUES,
        "data_offsets": st.lists(st.integers(0, 64) | st.integers(), min_size=2, max_size=2) | VALUES,
    },
)


@settings(max_examples=150, deadline=None)
@given(header=st.dictionaries(st.text(max_size=3), SHARDS | VALUES, max_size=3) | VALUES, size=st.integers(0, 64))
def test_any_header_is_read_within_its_file_or_refused(tmp_path_factory, header, size):
    folder = tmp_path_factory.mktemp("any")
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    try:
        tensors = read_shards(folder)
    except OlpipeError as error:
        assert error.message.isprintable()
    else:
        assert sum(tensor.size_bytes for tensor in tensors.values()) == size
        assert all(tensor.offset >= 8 + len(text) for tensor in tensors.values())
