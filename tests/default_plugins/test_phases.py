"""Both backends of language models let their models think, call tools and keep to formats, all at once."""

from dataclasses import replace

import pytest

from olpipe.convert.package import convert_gguf
from olpipe.default_plugins.onnx.backend import OnnxBackend
from olpipe.default_plugins.ort_genai.backend import OrtGenaiBackend
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.testing.contracts.asking import load
from olpipe.testing.contracts.phases import REQUIRED, TOOLS, PhasesContract
from olpipe.testing.models import CHAT_TEMPLATE, write_tiny_gguf

MARKS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
TEMPLATE = CHAT_TEMPLATE + (
    "{# It thinks as in <think>\n\n</think>\n\n, and calls as in "
    '<tool_call>\n{"name": NAME, "arguments": ARGUMENTS}\n</tool_call>. #}'
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("marked")
    for name in ("model", "package"):
        (folder / name).mkdir()
    gguf = write_tiny_gguf(folder / "model" / "model.gguf", special=MARKS, chat_template=TEMPLATE)
    convert_gguf(gguf, folder / "package", progress=lambda _: None)
    return folder


class TestOnnxBackend(PhasesContract):
    @pytest.fixture
    def backend(self):
        return OnnxBackend()

    @pytest.fixture
    def bundle(self, folder):
        path, cache, config = folder / "model", folder / "cache", ModelConfig("gguf", "llama")
        return ModelBundle(ModelName.parse("marked"), "sha256:0", path, cache, config)

    def test_nothing_of_this_is_refused(self, backend, bundle):
        runner = load(backend, bundle, LoadOptions(threads=1))
        assert runner.prepare(replace(self.request(), tools=TOOLS, tool_choice=REQUIRED, think="on")).prompt_tokens
        runner.close()


class TestOrtGenaiBackend(TestOnnxBackend):
    @pytest.fixture
    def backend(self):
        return OrtGenaiBackend()

    @pytest.fixture
    def bundle(self, folder):
        config = ModelConfig("onnx", "llama")
        return ModelBundle(ModelName.parse("marked"), "sha256:0", folder / "package", folder / "cache", config)
