"""Both sinks keep the contract."""

from pathlib import Path

import pytest

from olpipe.testing.contracts import PluginContract, SinkContract

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


def files(path):
    return parquet.read_table(path)["file"].to_pylist() if path.exists() else []


class TestModule(PluginContract):
    module = "olpipe_huggingface"


class TestHuggingFace(SinkContract):
    @pytest.fixture
    def factory(self):
        from olpipe_huggingface.sink import HuggingFaceSinkFactory

        return HuggingFaceSinkFactory()

    @pytest.fixture(autouse=True)
    def photos(self, run):
        for name in ("one", "two", "three"):
            (run.root / f"{name}.jpg").write_bytes(name.encode())

    def read(self, target):
        found = files(Path(target, "train", "metadata.parquet"))
        assert all(Path(target, "train", file).is_file() for file in found)
        return found


class TestHuggingFacePaths(SinkContract):
    @pytest.fixture
    def factory(self):
        from olpipe_huggingface.sink import HuggingFacePathsSinkFactory

        return HuggingFacePathsSinkFactory()

    def read(self, target):
        return files(Path(target, "data", "train-00000-of-00001.parquet"))
