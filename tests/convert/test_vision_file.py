"""Vision encoders are found in projector files and in files of Ollama, under the same names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from olpipe.convert.decoder_config import DECODERS
from olpipe.convert.gguf import open_gguf, read_header
from olpipe.convert.vision_file import has_vision, open_vision, text_tensors
from olpipe.convert.vision_names import DIALECTS, translated
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.families.table import FAMILIES, family_for, family_named
from olpipe.testing.vision.content import Content
from olpipe.testing.vision_models import projector_content, text_content, write_vision_gguf

# By llama.cpp's names those of Ollama's files.
# Source: https://github.com/ollama/ollama/blob/main/llama/compat/llama-ollama-compat.cpp
SPELLINGS = {
    "gemma3": {
        "v.patch_embd.": "v.patch_embedding.",
        "v.position_embd.": "v.position_embedding.",
        "v.post_ln.": "v.post_layernorm.",
        ".ln1.": ".layer_norm1.",
        ".ln2.": ".layer_norm2.",
        ".attn_out.": ".attn_output.",
        ".ffn_up.": ".mlp.fc1.",
        ".ffn_down.": ".mlp.fc2.",
        "mm.input_projection.": "mm.mm_input_projection.",
        "mm.soft_emb_norm.": "mm.mm_soft_emb_norm.",
    },
    "qwen2_5_vl": {
        "v.patch_embd.weight.1": "v.patch_embd_1.weight",
        "v.patch_embd.weight": "v.patch_embd_0.weight",
        "v.post_ln.": "v.merger.ln_q.",
        "mm.0.": "v.merger.mlp.0.",
        "mm.2.": "v.merger.mlp.2.",
    },
    "qwen3_vl": {
        "v.patch_embd.": "v.patch_embed.",
        "v.position_embd.": "v.pos_embed.",
        "v.post_ln.": "v.merger.norm.",
        ".ln1.": ".norm1.",
        ".ln2.": ".norm2.",
        ".ffn_up.": ".mlp.linear_fc1.",
        ".ffn_down.": ".mlp.linear_fc2.",
        "mm.0.": "v.merger.linear_fc1.",
        "mm.2.": "v.merger.linear_fc2.",
        "v.deepstack.0.": "v.deepstack_merger.0.",
        "v.deepstack.2.": "v.deepstack_merger.1.",
        "v.deepstack.3.": "v.deepstack_merger.2.",
        ".fc1.": ".linear_fc1.",
        ".fc2.": ".linear_fc2.",
    },
}
ARCHITECTURES = {"gemma3": "gemma3", "qwen2_5_vl": "qwen25vl", "qwen3_vl": "qwen3vl"}

# What Ollama's files say about the vision encoder, by the names in llama.cpp's files.
STATED = {
    **{name: name for name in ("block_count", "embedding_length", "patch_size", "attention.head_count")},
    "attention.layer_norm_epsilon": "attention.layer_norm_epsilon",
    "spatial_merge_size": "spatial_merge_size",
    "window_size": "window_size",
    "image_min_pixels": "shortest_edge",
    "image_max_pixels": "longest_edge",
}
# What only Ollama's files say.
MORE = {
    "gemma3": {"gemma3.vision.image_size": 112, "gemma3.mm.tokens_per_image": 16},
    "qwen2_5_vl": {"qwen25vl.vision.fullatt_block_indexes": [1, 3]},
    "qwen3_vl": {"qwen3vl.vision.deepstack_visual_indexes": [0, 2, 3]},
}


def whole(family):
    """Return the content of a file as Ollama has it: the text model, and the vision encoder under its other names."""
    text, vision, architecture = text_content(family), projector_content(family), ARCHITECTURES[family]
    # 1. The names of the tensors. Queries, keys and values are apart, and the matrices of two frames are one tensor.
    tensors = {}
    for name, values in vision.tensors.items():
        if ".attn_qkv." in name:
            tensors |= {
                name.replace("_qkv", f"_{part}"): each for part, each in zip("qkv", np.split(values, 3), strict=True)
            }
        else:
            tensors[name] = values
    if family == "qwen3_vl":
        first, second = tensors["v.patch_embd.weight"], tensors.pop("v.patch_embd.weight.1")
        width, colours, *patch = first.shape
        frames = np.stack([first, second], axis=2)
        tensors["v.patch_embd.weight"] = np.ascontiguousarray(frames.reshape(width * colours, 2, *patch))
    for known, other in SPELLINGS[family].items():
        tensors = {name.replace(known, other): values for name, values in tensors.items()}
    # 2. What the file says. The text model's keys have Ollama's name of the architecture, too.
    own = text.metadata["general.architecture"]
    metadata = {key.replace(f"{own}.", f"{architecture}.", 1): value for key, value in text.metadata.items()}
    metadata["general.architecture"] = architecture
    for known, other in STATED.items():
        if (value := vision.metadata.get(f"clip.vision.{known}")) is not None:
            metadata[f"{architecture}.vision.{other}"] = value
    return Content(metadata | MORE[family], text.tensors | tensors)


def opened(content, folder):
    return open_vision(open_gguf(content.write(folder / "model.gguf")))


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_a_file_of_ollama_holds_the_same_encoder_as_a_projector_file(tmp_path, family):
    _, projector = write_vision_gguf(family, tmp_path)
    expected, found = open_vision(open_gguf(projector)), opened(whole(family), tmp_path)
    # 1. The same type and the same sizes.
    assert found.projector == expected.projector
    reader = family_for(found.projector, projector)
    sizes, own = reader.read(expected.metadata, expected), reader.read(found.metadata, found)
    assert own == replace(sizes, image_size=own.image_size, mean=own.mean, std=own.std)
    np.testing.assert_allclose([own.mean, own.std], [sizes.mean, sizes.std], rtol=1e-6)
    # 2. The same values under the same names. A matrix that is in parts here is one in the projector file.
    for name in expected.names():
        if ".attn_qkv." in name:
            values = np.concatenate([found.array(name.replace("_qkv", f"_{part}")) for part in "qkv"])
        else:
            assert found.shape(name) == expected.shape(name)
            values = found.array(name)
        np.testing.assert_array_equal(values, expected.array(name))


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_the_tensors_of_the_text_model_are_told_from_those_of_the_encoder(tmp_path, family):
    header = read_header(whole(family).write(tmp_path / "model.gguf"))
    assert set(text_tensors(header)) == set(text_content(family).tensors)
    assert has_vision(header)


def test_a_projector_file_has_no_text_model(tmp_path):
    text, projector = (read_header(path) for path in write_vision_gguf("idefics3", tmp_path))
    assert (has_vision(text), has_vision(projector)) == (False, True)
    assert list(text_tensors(text)) == list(text.tensors)
    assert list(text_tensors(projector)) == []


def test_rows_and_vectors_are_read_by_llama_cpps_names(tmp_path):
    content = whole("gemma3")
    found = opened(content, tmp_path)
    matrix = content.tensors["v.blk.1.mlp.fc1.weight"]
    np.testing.assert_array_equal(np.concatenate(list(found.rows("v.blk.1.ffn_up.weight"))), matrix)
    order = np.array([3, 1])
    np.testing.assert_array_equal(np.concatenate(list(found.rows("v.blk.1.ffn_up.weight", order))), matrix[order])
    np.testing.assert_array_equal(found.vector("v.post_ln.bias"), content.tensors["v.post_layernorm.bias"])
    np.testing.assert_array_equal(found.array("v.post_ln.bias"), content.tensors["v.post_layernorm.bias"])


def test_an_old_file_that_swaps_the_matrices_of_a_feed_forward_block_is_set_right(tmp_path):
    content = projector_content("llava")
    found = opened(content, tmp_path)
    assert content.tensors["v.blk.0.ffn_down.weight"].shape == (160, 96)
    for part in ("weight", "bias"):
        np.testing.assert_array_equal(
            found.array(f"v.blk.0.ffn_up.{part}"), content.tensors[f"v.blk.0.ffn_down.{part}"]
        )
        np.testing.assert_array_equal(
            found.array(f"v.blk.0.ffn_down.{part}"), content.tensors[f"v.blk.0.ffn_up.{part}"]
        )


def test_a_projector_file_without_a_type_is_a_llava(tmp_path):
    content = projector_content("llava")
    del content.metadata["clip.projector_type"]
    assert opened(content, tmp_path).projector == "mlp"


def test_a_projector_file_for_images_and_sounds_names_both_types(tmp_path):
    content = projector_content("gemma3")
    content.metadata["clip.vision.projector_type"] = content.metadata.pop("clip.projector_type")
    assert opened(content, tmp_path).projector == "gemma3"


def test_what_the_file_says_beats_what_is_usual(tmp_path):
    content = whole("qwen3_vl")
    content.metadata.update({"qwen3vl.vision.image_mean": [0.25, 0.5, 0.75], "qwen3vl.vision.longest_edge": 70_000})
    found = opened(content, tmp_path)
    assert found.metadata["image_mean"] == (0.25, 0.5, 0.75)
    assert found.metadata["image_max_pixels"] == 70_000


def test_a_zero_says_nothing(tmp_path):
    content = whole("qwen3_vl")
    content.metadata["qwen3vl.vision.longest_edge"] = 0
    assert opened(content, tmp_path).metadata["image_max_pixels"] == 16_777_216


def test_a_file_of_ollama_without_windows_gets_the_usual_ones(tmp_path):
    content = whole("qwen2_5_vl")
    assert opened(content, tmp_path).metadata["window_size"] == 112
    content.metadata["qwen25vl.vision.window_size"] = 56
    assert opened(content, tmp_path).metadata["window_size"] == 56


def test_a_text_model_has_no_encoder(tmp_path):
    text, _ = write_vision_gguf("idefics3", tmp_path)
    with pytest.raises(ModelUnsupported, match="has no vision encoder"):
        open_vision(open_gguf(text))


def test_a_projector_file_for_sounds_has_no_encoder(tmp_path):
    content = projector_content("gemma3")
    content.metadata["clip.has_vision_encoder"] = False
    with pytest.raises(ModelUnsupported, match="has no vision encoder"):
        opened(content, tmp_path)


def test_an_unknown_architecture_is_refused_by_name_with_those_that_are_known(tmp_path):
    content = whole("gemma3")
    content.metadata["general.architecture"] = "mllama"
    with pytest.raises(ModelUnsupported, match="a text model `mllama` with its vision encoder") as refused:
        opened(content, tmp_path)
    assert refused.value.hint == "of such files, those with `gemma3`, `qwen25vl`, `qwen3vl` can be read"


def test_an_unknown_type_of_projector_is_refused_by_name_with_those_that_are_known(tmp_path):
    with pytest.raises(ModelUnsupported, match="a vision encoder of the type `resampler`") as refused:
        family_for("resampler", tmp_path)
    assert refused.value.hint == (
        "these can be converted: `idefics3`, `mlp`, `gemma3`, `qwen2.5vl_merger`, `qwen3vl_merger`."
        " A plugin can bring more"
    )


def test_a_family_is_found_by_its_name():
    for family in FAMILIES:
        assert family_named(family.name) is family
    with pytest.raises(ModelUnsupported, match="the plugin that brings the family `Moondream`"):
        family_named("Moondream")


def test_every_dialect_belongs_to_a_family():
    for architecture, dialect in DIALECTS.items():
        assert architecture in DECODERS
        assert len([family for family in FAMILIES if dialect.projector in family.projectors]) == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("clip.projector_type", 3, "`clip.projector_type` is 3, not a name"),
        ("qwen3vl.vision.deepstack_visual_indexes", [-1], "`deepstack_visual_indexes` is (-1,), not blocks"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path, key, value, message):
    content = projector_content("gemma3") if key.startswith("clip") else whole("qwen3_vl")
    content.metadata[key] = value
    with pytest.raises(ModelCorrupt) as refused:
        opened(content, tmp_path)
    assert message in refused.value.message


def test_two_tensors_for_the_same_thing_are_refused(tmp_path):
    content = whole("gemma3")
    content.tensors["v.post_ln.bias"] = content.tensors["v.post_layernorm.bias"]
    with pytest.raises(ModelCorrupt, match=r"`v\.post_ln\.bias` and `v\.post_layernorm\.bias`, which are one"):
        opened(content, tmp_path)


@pytest.mark.parametrize(
    ("architecture", "name", "expected"),
    [
        ("gemma3", "v.blk.26.mlp.fc2.bias", "v.blk.26.ffn_down.bias"),
        ("gemma3", "v.blk.26.attn_q.weight", "v.blk.26.attn_q.weight"),
        ("gemma3", "v.something.weight", "v.something.weight"),
        ("qwen25vl", "v.patch_embd_1.weight", "v.patch_embd.weight.1"),
        ("qwen25vl", "v.blk.0.ffn_gate.weight", "v.blk.0.ffn_gate.weight"),
        ("qwen3vl", "v.deepstack_merger.1.linear_fc2.bias", "v.deepstack.16.fc2.bias"),
        ("qwen3vl", "v.deepstack_merger.7.norm.bias", "v.deepstack_merger.7.norm.bias"),
        ("qwen3vl", "v.deepstack_merger.1.gate.bias", "v.deepstack_merger.1.gate.bias"),
        ("qwen3vl", "v.merger.norm.weight", "v.post_ln.weight"),
    ],
)
def test_names_are_translated(architecture, name, expected):
    assert translated(name, DIALECTS[architecture], (8, 16, 24)) == expected
