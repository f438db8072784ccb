"""Decoders in folders of Hugging Face: they become what a GGUF file with the same weights becomes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from olpipe.convert.decoder_folder import open_decoder_folder
from olpipe.convert.folder_config import CLASSES
from olpipe.convert.package import check_convertible, convert_gguf
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.errors import ModelUnsupported
from olpipe.sessions import open_session
from olpipe.testing.decoder_folder import folder_tensors, write_decoder_folder, write_json, write_weights
from olpipe.testing.float_decoder import FloatDecoder
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary
from olpipe.testing.vision import texts

TOKENS, MERGES = vocabulary()
IDS = np.random.default_rng(5).integers(0, len(TOKENS), 24)
TEXT = "A dog, 2 cats & the photo of a street.\n\n  It's <|im_end|> über 犬!"

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def plain(architecture):
    """Return the metadata and the tensors of a tiny llama or qwen2."""
    metadata = tiny_metadata(TOKENS, MERGES, 256, architecture=architecture)
    return metadata, tiny_tensors(len(TOKENS), 3, biases=architecture == "qwen2")


def other(name):
    content = texts.content(name, 1)
    return content.metadata, content.tensors


def tied(metadata, tensors):
    return metadata, {name: values for name, values in tensors.items() if name != "output.weight"}


def with_metadata(model, **more):
    metadata, tensors = model
    architecture = metadata["general.architecture"]
    return metadata | {f"{architecture}.{key.replace('__', '.')}": value for key, value in more.items()}, tensors


GEMMA_ROPE = {"rope_type": "linear", "factor": 8.0}
LAYERS = ["full_attention" if layer % 6 == 5 else "sliding_attention" for layer in range(7)]

# What a GGUF file holds, and what `config.json` says beside what follows from that.
SAME = {
    "llama": (plain("llama"), {}),
    "llama, tied": (tied(*plain("llama")), {}),
    "llama, linear": (
        with_metadata(plain("llama"), rope__scaling__type="linear", rope__scaling__factor=4.0),
        {"rope_scaling": {"type": "linear", "factor": 4.0}},
    ),
    "mistral": (plain("llama"), {"architectures": ["MistralForCausalLM"], "model_type": "mistral"}),
    "by model_type": (plain("llama"), {"architectures": None, "model_type": "mistral"}),
    "a window of 100": (
        with_metadata(plain("llama"), context_length=100),
        {"architectures": ["MistralForCausalLM"], "sliding_window": 100},
    ),
    "qwen2": (plain("qwen2"), {"sliding_window": 100, "use_sliding_window": False}),
    "qwen3": (other("qwen3"), {}),
    "qwen3, newer": (
        other("qwen3"),
        {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    ),
    "gemma3": (other("gemma3_text"), {"rope_scaling": GEMMA_ROPE, "sliding_window_pattern": 6}),
    "gemma3, newer": (
        other("gemma3_text"),
        {
            "layer_types": LAYERS,
            "query_pre_attn_scalar": 32,
            "rope_theta": None,
            "rope_local_base_freq": None,
            "rope_parameters": {
                "full_attention": GEMMA_ROPE | {"rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
    "phi3": (other("phi3"), {}),
}


def convert(source, folder, precision="float32"):
    folder.mkdir()
    convert_gguf(source, folder, precision=precision, progress=lambda _: None)
    return folder


def as_gguf(path, model):
    write_gguf(path, *model)
    return path


def graph_of(package):
    return [(package / name).read_bytes() for name in ("model.onnx", "model.onnx.data", "genai_config.json")]


def logits(package, ids):
    """Return the logits after each token on plain ONNX Runtime, which gets them one by one."""
    cache = Cache(open_session(package / "model.onnx", threads=1), rows=1, length=len(ids))
    rows = []
    for at, token in enumerate(ids):
        cache.run(np.array([[token]], np.int64), [at], further={})
        rows.append(cache.logits(0))
    return np.array(rows)


@pytest.mark.parametrize("name", SAME)
def test_a_folder_becomes_the_same_graph_as_a_gguf_file(tmp_path, name):
    model, config = SAME[name]
    folder = write_decoder_folder(tmp_path / "model", *model, config=config)
    expected = convert(as_gguf(tmp_path / "model.gguf", model), tmp_path / "expected")
    assert graph_of(convert(folder, tmp_path / "found")) == graph_of(expected)


def test_every_class_that_is_converted_is_compared_with_a_gguf_file():
    compared = {kind["architectures"][0] for _, kind in SAME.values() if kind.get("architectures")}
    compared |= {f"{name.split(',')[0].title()}ForCausalLM" for name in SAME}
    assert compared >= CLASSES.keys()


def test_the_comparison_would_notice_queries_in_another_order(tmp_path):
    metadata, tensors = plain("llama")
    folder = write_decoder_folder(tmp_path / "model", metadata, tensors)
    changed = folder_tensors(metadata, tensors)
    name = "model.layers.1.self_attn.q_proj.weight"
    write_weights(folder, changed | {name: tensors["blk.1.attn_q.weight"]})
    expected = convert(as_gguf(tmp_path / "model.gguf", (metadata, tensors)), tmp_path / "expected")
    assert graph_of(convert(folder, tmp_path / "found")) != graph_of(expected)


def test_a_folder_computes_what_a_plain_float_model_computes(tmp_path):
    model = plain("llama")
    folder = write_decoder_folder(tmp_path / "model", *model)
    found = logits(convert(folder, tmp_path / "found"), IDS)
    expected = FloatDecoder(as_gguf(tmp_path / "model.gguf", model)).logits(IDS)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_quantised_packages_are_the_same_too(tmp_path, precision):
    model = plain("llama")
    folder = write_decoder_folder(tmp_path / "model", *model, shards=2)
    expected = convert(as_gguf(tmp_path / "model.gguf", model), tmp_path / "expected", precision)
    assert graph_of(convert(folder, tmp_path / "found", precision)) == graph_of(expected)


@pytest.mark.parametrize(("dtype", "shards"), [("BF16", 1), ("BF16", 3), ("F16", 2), ("F32", 40)])
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_types_and_shards_change_nothing(tmp_path, name, dtype, shards):
    (metadata, tensors), config = SAME[name]
    # These values are the same in all three types. They have a sign, and four bits behind the first one.
    rounded = {key: (np.round(values * 16) / 16).clip(-1, 1).astype(np.float32) for key, values in tensors.items()}
    model = metadata, rounded
    whole = write_decoder_folder(tmp_path / "whole", *model, config=config)
    other = write_decoder_folder(tmp_path / "other", *model, config=config, dtype=dtype, shards=shards)
    assert graph_of(convert(other, tmp_path / "found")) == graph_of(convert(whole, tmp_path / "expected"))


def test_llama_3_divides_the_frequencies_of_long_waves(tmp_path):
    metadata, tensors = plain("llama")
    folder = write_decoder_folder(tmp_path / "model", metadata, tensors, config={"rope_scaling": LLAMA3})
    # The waves of eight frequencies, in tokens, and what the rule says of each by hand: 64 tokens were trained.
    waves = [2 * np.pi * 10000 ** (number / 8) for number in range(8)]
    factors = []
    for wave in waves:
        if wave < 64 / 4:
            factors.append(1.0)
        elif wave > 64 / 1:
            factors.append(8.0)
        else:
            smooth = (64 / wave - 1) / (4 - 1)
            factors.append(1 / ((1 - smooth) / 8 + smooth))
    assert 1 < sorted(set(factors))[1] < 8  # one wave is between
    with_factors = tensors | {"rope_freqs.weight": np.array(factors, np.float32)}
    gguf = as_gguf(tmp_path / "model.gguf", (metadata, with_factors))
    found = logits(convert(folder, tmp_path / "found"), IDS)
    np.testing.assert_allclose(found, FloatDecoder(gguf).logits(IDS), atol=2e-4)


def test_phi_3_has_factors_for_short_and_for_long_contexts(tmp_path):
    model = other("phi3_long")
    factors = {f"{length}_factor": model[1][f"rope_factors_{length}.weight"].tolist() for length in ("short", "long")}
    config = {
        "rope_scaling": {"type": "longrope", **factors},
        "original_max_position_embeddings": 256,
        "sliding_window": None,
    }
    folder = write_decoder_folder(tmp_path / "model", *model, config=config)
    package = convert(folder, tmp_path / "found")
    assert json.loads((package / "genai_config.json").read_text())["model"]["context_length"] == 256
    expected = FloatDecoder(as_gguf(tmp_path / "model.gguf", model)).logits(IDS)
    np.testing.assert_allclose(logits(package, IDS), expected, atol=2e-4)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma3"])
def test_texts_become_the_same_tokens_as_with_a_gguf_file(tmp_path, name):
    model, config = SAME[name]
    folder = write_decoder_folder(tmp_path / "model", *model, config=config)
    packages = [convert(as_gguf(tmp_path / "model.gguf", model), tmp_path / "expected")]
    packages.append(convert(folder, tmp_path / "found"))
    configs = [json.loads((package / "tokenizer_config.json").read_text()) for package in packages]
    ends = [json.loads((package / "genai_config.json").read_text())["model"]["eos_token_id"] for package in packages]
    expected, found = (
        Vocabulary.read(package, size=len(model[0]["tokenizer.ggml.tokens"]), end_tokens=ends[0])
        for package in packages
    )
    assert found.encode(TEXT) == expected.encode(TEXT)
    assert found.bytes_of(found.encode(TEXT)) == expected.bytes_of(expected.encode(TEXT))
    assert configs[1] == configs[0]
    assert ends[1] == ends[0]


def test_the_rotary_buffers_of_older_folders_and_a_tied_projection_are_left_out(tmp_path):
    metadata, tensors = tied(*plain("llama"))
    folder = write_decoder_folder(tmp_path / "model", metadata, tensors)
    expected = convert(folder, tmp_path / "expected")
    stored = folder_tensors(metadata, tensors)
    stored["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(8, np.float32)
    stored["lm_head.weight"] = np.ones((len(TOKENS), 64), np.float32)
    write_weights(folder, stored)
    assert graph_of(convert(folder, tmp_path / "found")) == graph_of(expected)


def test_the_check_of_a_folder_reads_no_weights(tmp_path):
    folder = write_decoder_folder(tmp_path / "model", *plain("llama"), shards=2)
    for path in folder.glob("*.safetensors"):
        data = path.read_bytes()
        length = 8 + int.from_bytes(data[:8], "little")
        path.write_bytes(data[:length] + b"\xff" * (len(data) - length))  # not numbers
    check_convertible(folder)


def test_a_folder_is_described_like_a_gguf_file(tmp_path):
    metadata, tensors = plain("llama")
    header = open_decoder_folder(write_decoder_folder(tmp_path / "model", metadata, tensors, dtype="BF16")).header
    assert (header.architecture, header.file_type, header.context_length) == ("llama", "BF16", 256)
    assert header.parameter_count == sum(values.size for values in tensors.values())
    assert {name: info.shape for name, info in header.tensors.items()} == {
        name: values.shape for name, values in tensors.items()
    }


def test_chat_templates_in_files_of_their_own_are_kept(tmp_path):
    folder = write_decoder_folder(tmp_path / "model", *plain("llama"))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    package = convert(folder, tmp_path / "found")
    assert (package / "chat_template.jinja").read_text() == "{{ messages }}"
    assert (package / "additional_chat_templates" / "tool_use.jinja").read_text() == "{{ tools }}"


def test_a_model_that_sees_is_refused_with_what_to_use(tmp_path):
    folder = write_decoder_folder(tmp_path / "model", *plain("qwen2"))
    values = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "vision_config": {}, "model_type": "qwen2_5_vl"}
    write_json(folder / "config.json", values)
    for path in folder.glob("*.safetensors"):
        path.unlink()  # nothing large is read, so it need not be there
    with pytest.raises(ModelUnsupported, match=r"`Qwen2_5_VLForConditionalGeneration`, of a model that reads images"):
        check_convertible(folder)
