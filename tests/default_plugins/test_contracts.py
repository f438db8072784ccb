"""Everything that ships keeps the contract of its kind."""

import io
import json

import pytest

from olpipe.decoding.prompt import Prompt
from olpipe.default_plugins.executors.local import LocalExecutor
from olpipe.default_plugins.loaders.heif import HeifLoader
from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.default_plugins.onnx.backend import OnnxBackend
from olpipe.default_plugins.ort_genai.backend import OrtGenaiBackend
from olpipe.default_plugins.ort_genai.sequence import GeneratorSequence
from olpipe.default_plugins.packages import TextPackage
from olpipe.default_plugins.sinks.jsonl import JsonlSinkFactory
from olpipe.default_plugins.sources.file import FileSource
from olpipe.default_plugins.sources.pip import PipSource
from olpipe.default_plugins.tasks.data import DataTask
from olpipe.default_plugins.tasks.photo import PhotoTask
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.plugins import DEFAULT_PLUGINS
from olpipe.testing.contracts import (
    BackendContract,
    ExecutorContract,
    ImageLoaderContract,
    ModelSequenceContract,
    ModelSourceContract,
    PluginContract,
    SinkContract,
    TaskContract,
)
from olpipe.testing.images import photo
from olpipe.testing.models import build_tiny_package, write_tiny_gguf
from olpipe.testing.wheels import write_wheel

BOXES_SCHEMA = {
    "type": "object",
    "properties": {"tags": {"type": "array"}, "alt": {"type": "string"}, "objects": {"type": "array"}},
    "required": ["tags", "alt", "objects"],
}
BOXES = {
    "tags": ["dog", "Dog ", "", "lawn"],
    "alt": "A dog on a lawn.",
    "objects": [{"x": -4, "y": 0, "w": 20, "h": 90, "type": "dog", "tags": ["pug", "pug"]}],
}


@pytest.mark.parametrize("module", DEFAULT_PLUGINS)
class TestDefaultPlugins(PluginContract):
    @pytest.fixture(autouse=True)
    def take_module(self, module):
        self.module = module


@pytest.fixture(scope="session")
def tiny_package(tmp_path_factory):
    return build_tiny_package(tmp_path_factory.mktemp("tiny") / "package")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "model").mkdir()
    write_tiny_gguf(folder / "model" / "model.gguf")
    return folder


class TestOrtGenaiBackend(BackendContract):
    @pytest.fixture
    def backend(self):
        return OrtGenaiBackend()

    @pytest.fixture
    def bundle(self, tiny_package, tmp_path):
        config = ModelConfig("onnx", "llama")
        return ModelBundle(ModelName.parse("tiny"), "sha256:0", tiny_package, tmp_path / "cache", config)


class TestOnnxBackend(BackendContract):
    @pytest.fixture
    def backend(self):
        return OnnxBackend()

    @pytest.fixture
    def bundle(self, tiny_folder):
        path, cache, config = tiny_folder / "model", tiny_folder / "cache", ModelConfig("gguf", "llama")
        return ModelBundle(ModelName.parse("tiny"), "sha256:0", path, cache, config)


class TestSequencesOfOrtGenai(ModelSequenceContract):
    @pytest.fixture
    def open_sequence(self, tiny_package):
        import onnxruntime_genai

        model = onnxruntime_genai.Model(str(tiny_package))
        return lambda length: GeneratorSequence(onnxruntime_genai, model, max_length=length)

    @pytest.fixture
    def prompt(self, tiny_package):
        bundle = ModelBundle(ModelName.parse("tiny"), "sha256:0", tiny_package, tiny_package)
        vocabulary = TextPackage.read(tiny_package, bundle).vocabulary()
        self.vocab_size = vocabulary.size
        return Prompt(tuple(vocabulary.encode("Tell me about the sea.")))


class TestPillowReadsJpeg(ImageLoaderContract):
    file_format, suffix = "JPEG", ".jpg"

    @pytest.fixture
    def loader(self):
        return PillowLoader()


class TestPillowReadsPng(TestPillowReadsJpeg):
    file_format, suffix = "PNG", ".png"


class TestPillowReadsWebp(TestPillowReadsJpeg):
    file_format, suffix = "WEBP", ".webp"


class TestHeifReadsHeic(ImageLoaderContract):
    file_format, suffix = "HEIF", ".heic"

    @pytest.fixture
    def loader(self):
        pytest.importorskip("pillow_heif", reason="needs the extra `heif`")
        return HeifLoader()

    def photo(self, *, orientation: int = 1) -> bytes:
        import pillow_heif
        from PIL import Image

        pillow_heif.register_heif_opener()  # Pillow writes HEIF from here on
        turned = Image.open(io.BytesIO(photo(orientation=orientation, file_format="PNG")))
        buffer = io.BytesIO()
        turned.save(buffer, "HEIF", quality=95, exif=turned.getexif().tobytes())
        return buffer.getvalue()


class TestFileSource(ModelSourceContract):
    @pytest.fixture
    def source(self):
        return FileSource()

    @pytest.fixture
    def reference(self, tmp_path):
        return str(write_tiny_gguf(tmp_path / "tiny.gguf"))


class TestPipSource(ModelSourceContract):
    @pytest.fixture(autouse=True)
    def own_registry(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "registry"))

    @pytest.fixture
    def source(self):
        return PipSource()

    @pytest.fixture
    def reference(self, tmp_path):
        gguf = write_tiny_gguf(tmp_path / "tiny.gguf")
        write_wheel(tmp_path / "registry", "tiny-weights", "1.0", {"tiny_weights/tiny.gguf": gguf.read_bytes()})
        return "tiny-weights"

    @pytest.fixture
    def wrongly_pinned(self, reference):
        return f"{reference}@sha256:{'0' * 64}"


class TestPhotoTask(TaskContract):
    @pytest.fixture
    def task(self):
        return PhotoTask()


class TestPhotoTaskWithBoxes(TestPhotoTask):
    schema, answer = BOXES_SCHEMA, BOXES


class TestDataTask(TaskContract):
    @pytest.fixture
    def task(self):
        return DataTask()


class TestJsonlSink(SinkContract):
    @pytest.fixture
    def factory(self):
        return JsonlSinkFactory()

    def read(self, target):
        with open(target, encoding="utf-8") as lines:
            return [json.loads(line)["file"] for line in lines]


class TestLocalExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return LocalExecutor()
