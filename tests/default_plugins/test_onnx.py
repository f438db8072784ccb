"""The backend `onnx`: which models it takes, and how it builds them."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from olpipe.convert.adapter import write_adapter
from olpipe.convert.architectures import ADAPTER_FILE, FORMAT_VERSION
from olpipe.default_plugins.onnx.backend import OnnxBackend, is_built, package_folder
from olpipe.errors import ModelCorrupt
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary, write_tiny_gguf

TOKENS, MERGES = vocabulary()


@pytest.fixture
def bundle(tmp_path):
    """Return a tiny GGUF file that was not converted yet."""
    model = tmp_path / "model"
    model.mkdir()
    write_tiny_gguf(model / "model.gguf")
    config = ModelConfig("gguf", "llama", conversion={"precision": "int8"})
    return ModelBundle(ModelName.parse("tiny"), "sha256:0", model, tmp_path / "cache", config)


def build(bundle):
    OnnxBackend().build(bundle, lambda _: None)
    return package_folder(bundle)


def test_a_gguf_file_is_built_once_and_then_loads(bundle):
    backend, reports = OnnxBackend(), []
    assert backend.refuses(bundle) is None
    with pytest.raises(ModelCorrupt, match=r"`tiny:latest` has not been converted") as caught:
        backend.load(bundle, LoadOptions())
    assert caught.value.hint == "run `olpipe pull tiny:latest`"
    backend.build(bundle, reports.append)
    assert reports[-1].completed == reports[-1].total
    backend.build(bundle, lambda progress: pytest.fail("it is built already"))
    assert list(bundle.cache.iterdir()) == [package_folder(bundle)]
    assert backend.refuses(bundle) is None
    backend.load(bundle, LoadOptions(threads=1)).close()


def test_the_folder_of_a_package_carries_the_codes_format(bundle):
    assert build(bundle).name == f"onnx-{FORMAT_VERSION}"


def test_an_interrupted_build_leaves_nothing_that_looks_finished(bundle):
    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        OnnxBackend().build(bundle, interrupt)
    assert list(bundle.cache.iterdir()) == []


def test_a_build_that_fails_leaves_nothing_either(bundle):
    whole = bundle.path / "model.gguf"
    whole.write_bytes(whole.read_bytes()[:-1000])
    with pytest.raises(ModelCorrupt):
        build(bundle)
    assert list(bundle.cache.iterdir()) == []


def test_packages_of_earlier_formats_are_removed_and_builds_that_go_on_elsewhere_are_not(bundle):
    for name in ("onnx-1", "ort-genai-7", f"onnx-{FORMAT_VERSION}-abc.unfinished", "evidence"):
        (bundle.cache / name).mkdir(parents=True)
        (bundle.cache / name / "file").write_text("x")
    package = build(bundle)
    left = {folder.name for folder in bundle.cache.iterdir()}
    assert left == {package.name, f"onnx-{FORMAT_VERSION}-abc.unfinished", "evidence"}


def test_another_process_that_was_faster_is_no_error(bundle, tmp_path):
    other = replace(bundle, cache=tmp_path / "other")
    theirs = build(other)

    def overtake(progress):
        if progress.completed == progress.total:
            shutil.copytree(theirs, package_folder(bundle), dirs_exist_ok=True)

    OnnxBackend().build(bundle, overtake)
    assert list(bundle.cache.iterdir()) == [package_folder(bundle)]
    assert is_built(package_folder(bundle))


def test_the_models_config_decides_how_finely_it_is_quantised(bundle):
    sizes = {}
    for precision in ("int4", "int8"):
        config = replace(bundle.config, conversion={"precision": precision})
        package = build(replace(bundle, cache=bundle.cache / precision, config=config))
        sizes[precision] = (package / "model.onnx.data").stat().st_size
    assert sizes["int4"] < sizes["int8"]


def test_an_adapter_beside_the_file_goes_into_the_package(bundle):
    plain = (build(bundle) / "model.onnx.data").read_bytes()
    shape = tiny_tensors(len(TOKENS), 0)["blk.0.attn_q.weight"].shape
    random = np.random.default_rng(0)
    factors = random.normal(size=(2, shape[1])).astype(np.float32), random.normal(size=(shape[0], 2)).astype(np.float32)
    write_adapter(bundle.path / ADAPTER_FILE, {"blk.0.attn_q.weight": factors}, scale=1.0)
    adapted = build(replace(bundle, cache=bundle.cache.with_name("adapted")))
    assert (adapted / "model.onnx.data").read_bytes() != plain


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"general.architecture": "mamba"}, "the file has the architecture `mamba`, which cannot be converted"),
        ({"llama.expert_count": 8}, "the file is a mixture of experts"),
        ({"tokenizer.ggml.pre": "chameleon"}, "the file cuts texts by the rule `chameleon`, which is not known"),
    ],
)
def test_a_file_that_is_not_converted_is_refused_with_the_reason(bundle, metadata, reason):
    path = bundle.path / "model.gguf"
    write_gguf(path, tiny_metadata(TOKENS, MERGES, 64) | metadata, tiny_tensors(len(TOKENS), 0))
    assert reason in OnnxBackend().refuses(bundle)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(60)])
def test_a_damaged_file_is_refused_with_the_reason(bundle, content):
    (bundle.path / "model.gguf").write_bytes(content)
    assert OnnxBackend().refuses(bundle).startswith("the file is ")


def test_a_folder_without_a_model_is_refused(bundle):
    (bundle.path / "model.gguf").unlink()
    reason = "it has neither a .gguf file nor a `model.safetensors` with its `config.json`"
    assert OnnxBackend().refuses(bundle) == reason
    OnnxBackend().build(bundle, lambda progress: pytest.fail("there is nothing to build"))
    assert not bundle.cache.exists()


def test_what_is_built_is_taken_without_another_look_at_the_file(bundle):
    build(bundle)
    (bundle.path / "model.gguf").write_bytes(b"only a header would be read")
    assert OnnxBackend().refuses(bundle) is None


@pytest.mark.parametrize(("file", "content"), [("model.onnx", b"junk"), ("model.onnx.data", None)])
def test_a_damaged_package_is_one_clear_line(bundle, file, content):
    damaged = build(bundle) / file
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    with pytest.raises(ModelCorrupt, match="`tiny:latest` cannot be loaded: ") as caught:
        OnnxBackend().load(bundle, LoadOptions())
    assert "\n" not in caught.value.message


def test_it_says_what_it_can_do(bundle):
    build(bundle)
    runner = OnnxBackend().load(bundle, LoadOptions(threads=1))
    info = runner.info
    assert (info.context_length, info.slots, info.fit_pixels) == (2048, 8, 0)
    assert info.generates
    assert info.guidance
    assert info.embeds
    runner.close()


@pytest.mark.parametrize(("asked", "kept"), [(0, 2048), (64, 64), (1 << 20, 2048)])
def test_the_context_can_be_kept_shorter_and_not_made_longer(bundle, asked, kept):
    build(bundle)
    runner = OnnxBackend().load(bundle, LoadOptions(threads=1, context_length=asked))
    assert runner.info.context_length == kept
    runner.close()


def test_the_models_system_message_comes_first_unless_there_is_one(bundle):
    build(bundle)
    runner = OnnxBackend().load(replace(bundle, system="be brief"), LoadOptions(threads=1))
    user = Message.of("user", "hi")

    def tokens(*messages):
        return runner.prepare(GenerateRequest("tiny", messages, SamplingParams())).prompt.tokens

    assert tokens(user) == tokens(Message.of("system", "be brief"), user)
    assert tokens(user) != tokens(Message.of("system", "x"), user)
    runner.close()
