"""The backend `llamacpp`: the contract of backends, what it takes, and the same answers as the backend `onnx`."""

import json
import sys
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from olpipe.convert.architectures import ADAPTER_FILE, GGUF_ADAPTER_FILE
from olpipe.decoding.prompt import Prompt
from olpipe.default_plugins.onnx.backend import OnnxBackend
from olpipe.errors import BackendMissing, ModelCorrupt
from olpipe.generation import GenerateRequest, Guidance, SamplingParams
from olpipe.image import DecodedImage
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import backend_for
from olpipe.testing.contracts import BackendContract, ModelSequenceContract
from olpipe.testing.contracts.asking import completion
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary, write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf

SEES = ("idefics3", "llava", "qwen2_5_vl", "qwen3_vl", "gemma3")


@pytest.fixture
def backend():
    from olpipe_llamacpp.backend import LlamaCppBackend

    return LlamaCppBackend()


def bundle_in(folder):
    return ModelBundle(ModelName.parse("tiny"), "sha256:0", folder, folder.parent / "cache", ModelConfig("gguf"))


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "model").mkdir()
    write_tiny_gguf(tmp_path / "model" / "model.gguf")
    return bundle_in(tmp_path / "model")


class TestText(BackendContract):
    runtimes = (*BackendContract.runtimes, "xllamacpp")

    @pytest.fixture
    def backend(self, backend):
        return backend

    @pytest.fixture
    def bundle(self, bundle):
        return bundle


class TestSight(BackendContract):
    runtimes = (*BackendContract.runtimes, "xllamacpp")

    @pytest.fixture
    def backend(self, backend):
        return backend

    @pytest.fixture
    def bundle(self, tmp_path):
        return seeing("qwen2_5_vl", tmp_path)


class TestSequence(ModelSequenceContract):
    @pytest.fixture
    def open_sequence(self, bundle):
        from olpipe_llamacpp.sequence import LlamaSequence
        from olpipe_llamacpp.weights import Weights

        weights = Weights(bundle.path / "model.gguf", adapter=None, projector=None, threads=1, image_tokens=0)
        return lambda length: LlamaSequence(weights, capacity=length)

    @pytest.fixture
    def prompt(self):
        return Prompt((5, 6, 7, 8, 9, 10, 11, 12))


def seeing(family, folder):
    """Return a tiny model that sees."""
    model = folder / "model"
    model.mkdir()
    text, projector = write_vision_gguf(family, model)
    text.rename(model / "model.gguf")
    projector.rename(model / "projector.gguf")
    return bundle_in(model)


def answer(backend, bundle, *images, most=12, tokens=0, **wishes):
    """Return the most probable answer of a model."""
    backend.build(bundle, lambda progress: None)
    runner = backend.load(bundle, LoadOptions(threads=1, image_tokens=tokens))
    try:
        params = SamplingParams(temperature=0, max_tokens=most)
        message = Message.of("user", "What is this?", *images)
        return completion(runner, GenerateRequest("tiny", (message,), params, top_logprobs=5, **wishes))
    finally:
        runner.close()


def photo(seed, *, height=56, width=84):
    return DecodedImage(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8), width, height)


def model_of(architecture, folder):
    """Return a tiny model whose file names an architecture."""
    tokens, merges = vocabulary()
    folder.mkdir()
    metadata = {**tiny_metadata(tokens, merges, 2048), "general.architecture": architecture}
    write_gguf(folder / "model.gguf", metadata, tiny_tensors(len(tokens), 0))
    return bundle_in(folder)


def test_it_runs_what_no_other_backend_does(tmp_path, installed):
    backends = Plugins.load(Settings(home=tmp_path, plugins_allow=(installed,))).backends
    known, unknown = (model_of(name, tmp_path / name) for name in ("llama", "jamba"))
    assert backend_for(known, backends).name == "onnx"
    assert backend_for(known, backends, "llamacpp").name == "llamacpp"
    assert backend_for(unknown, backends).name == "llamacpp"


def test_it_says_in_llama_cpps_words_why_a_file_cannot_be_loaded(backend, tmp_path):
    bundle = model_of("lhama", tmp_path / "model")
    backend.build(bundle, lambda progress: None)
    with pytest.raises(ModelCorrupt, match="unknown model architecture: 'lhama'"):
        backend.load(bundle, LoadOptions(threads=1))


def test_it_expects_the_same_tokens_as_the_backend_onnx(backend, bundle):
    config = ModelConfig("gguf", "llama", conversion={"format": 1, "precision": "float32"})
    ours, theirs = answer(OnnxBackend(), replace(bundle, config=config)), answer(backend, bundle)
    assert ours.text == theirs.text
    for one, other in zip(ours.logprobs, theirs.logprobs, strict=True):
        assert one.token == other.token
        assert one.raw == pytest.approx(other.raw, abs=1e-2)


def test_a_document_fits_its_schema(backend, bundle):
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string", "maxLength": 12}, "tags": {"enum": ["a", "b"]}},
        "required": ["title", "tags"],
        "additionalProperties": False,
    }
    document = answer(backend, bundle, guidance=Guidance("json_schema", json.dumps(schema)), most=60)
    jsonschema.validate(json.loads(document.text), schema)
    assert document.usage.forced_tokens > 0


@pytest.mark.parametrize("family", SEES)
def test_what_it_expects_depends_on_the_photo(backend, tmp_path, family):
    bundle = seeing(family, tmp_path)
    first, other, again = (answer(backend, bundle, photo(seed)) for seed in (0, 1, 0))
    assert first.logprobs == again.logprobs
    assert first.logprobs != other.logprobs


def test_two_photos_and_a_second_turn_are_seen(backend, tmp_path):
    bundle = seeing("qwen2_5_vl", tmp_path)
    one, both = answer(backend, bundle, photo(0)), answer(backend, bundle, photo(0), photo(1))
    assert one.logprobs != both.logprobs
    assert both.usage.prompt_tokens > one.usage.prompt_tokens


@pytest.mark.parametrize("shape", [(56, 56), (112, 84)])
def test_it_sees_what_the_backend_onnx_sees_where_both_fit_a_photo_alike(backend, tmp_path, shape):
    bundle = seeing("qwen2_5_vl", tmp_path)
    config = ModelConfig("gguf", "qwen2vl", conversion={"format": 1, "precision": "float32"})
    picture = photo(3, height=shape[0], width=shape[1])
    ours = answer(OnnxBackend(), replace(bundle, config=config), picture)
    theirs = answer(backend, bundle, picture)
    assert ours.usage.prompt_tokens == theirs.usage.prompt_tokens
    assert ours.logprobs[0].token == theirs.logprobs[0].token
    assert ours.logprobs[0].raw == pytest.approx(theirs.logprobs[0].raw, abs=2e-2)


def test_fewer_tokens_for_a_photo_are_granted(backend, tmp_path):
    bundle = seeing("qwen2_5_vl", tmp_path)
    picture = photo(0, height=560, width=560)
    usual, fewer = (answer(backend, bundle, picture, tokens=tokens) for tokens in (0, 16))
    assert fewer.usage.prompt_tokens < usual.usage.prompt_tokens


def adapter(folder, *, strength):
    """Write a low-rank adapter as llama.cpp has it."""
    random = np.random.default_rng(5)
    shapes = {"a": (4, 64), "b": (64, 4)}
    metadata = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
    tensors = {
        f"blk.{layer}.attn_q.weight.lora_{part}": random.normal(size=shapes[part]).astype(np.float32)
        for layer in range(2)
        for part in "ab"
    }
    write_gguf(folder / GGUF_ADAPTER_FILE, metadata | {"adapter.lora.alpha": strength}, tensors)


def test_an_adapter_is_applied_as_strongly_as_it_says(backend, bundle):
    without = answer(backend, bundle)
    likely = []
    for strength in (0.0, 4.0, 8.0):
        adapter(bundle.path, strength=strength)
        likely.append(answer(backend, bundle).logprobs[0].top_raw)
    assert likely[1] != without.logprobs[0].top_raw
    assert likely[1] != likely[2]


def test_an_adapter_of_another_format_is_not_left_out(backend, bundle):
    (bundle.path / ADAPTER_FILE).touch()
    assert backend.refuses(bundle) == "its adapter is in safetensors, and llama.cpp applies adapters in GGUF only"


def test_a_wheel_without_llama_cpps_functions_is_refused(backend, bundle, plugin_folder, monkeypatch):
    from olpipe_llamacpp.library import library

    package = plugin_folder / "xllamacpp"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "xllamacpp.abi3.so").write_bytes(b"no library")
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    library.cache_clear()
    backend.build(bundle, lambda progress: None)
    with pytest.raises(BackendMissing, match="functions cannot be called"):
        backend.load(bundle, LoadOptions(threads=1))
