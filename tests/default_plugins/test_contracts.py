"""Everything that ships keeps the contract of its kind."""

import json

import pytest

from olpipe.default_plugins.executors.local import LocalExecutor
from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.default_plugins.sinks.jsonl import JsonlSinkFactory
from olpipe.default_plugins.sources.file import FileSource
from olpipe.default_plugins.tasks.data import DataTask
from olpipe.default_plugins.tasks.photo import PhotoTask
from olpipe.plugins import DEFAULT_PLUGINS
from olpipe.testing.contracts import (
    ExecutorContract,
    ImageLoaderContract,
    ModelSourceContract,
    PluginContract,
    SinkContract,
    TaskContract,
)
from olpipe.testing.models import write_tiny_gguf


@pytest.mark.parametrize("module", DEFAULT_PLUGINS)
class TestDefaultPlugins(PluginContract):
    @pytest.fixture(autouse=True)
    def take_module(self, module):
        self.module = module


class TestPillowReadsJpeg(ImageLoaderContract):
    file_format, suffix = "JPEG", ".jpg"

    @pytest.fixture
    def loader(self):
        return PillowLoader()


class TestPillowReadsPng(TestPillowReadsJpeg):
    file_format, suffix = "PNG", ".png"


class TestPillowReadsWebp(TestPillowReadsJpeg):
    file_format, suffix = "WEBP", ".webp"


class TestFileSource(ModelSourceContract):
    @pytest.fixture
    def source(self):
        return FileSource()

    @pytest.fixture
    def reference(self, tmp_path):
        return str(write_tiny_gguf(tmp_path / "tiny.gguf"))


class TestPhotoTask(TaskContract):
    @pytest.fixture
    def task(self):
        return PhotoTask()


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
