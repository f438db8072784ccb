"""Every sink keeps the contract. Each target is read as the tools of its format read it."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from olpipe.testing.contracts import PluginContract, SinkContract

IN_ORDER = ("one", "two", "three")


class TestModule(PluginContract):
    module = "olpipe_coco"


class TestCoco(SinkContract):
    @pytest.fixture
    def factory(self):
        from olpipe_coco.coco import CocoSinkFactory

        return CocoSinkFactory()

    def read(self, target):
        path = Path(target, "instances.json")
        return [image["file_name"] for image in json.loads(path.read_bytes())["images"]] if path.exists() else []


class TestLabelStudio(SinkContract):
    @pytest.fixture
    def factory(self):
        from olpipe_coco.label_studio import LabelStudioSinkFactory

        return LabelStudioSinkFactory()

    def read(self, target):
        path = Path(target, "tasks.json")
        return [task["data"]["file"] for task in json.loads(path.read_bytes())] if path.exists() else []


class TestVoc(SinkContract):
    @pytest.fixture
    def factory(self):
        from olpipe_coco.voc import VocSinkFactory

        return VocSinkFactory()

    def read(self, target):
        found = [ElementTree.parse(path).findtext("path") for path in Path(target, "Annotations").glob("*.xml")]
        return sorted(found, key=lambda file: IN_ORDER.index(Path(file).stem))


class TestYolo(SinkContract):
    @pytest.fixture
    def factory(self):
        from olpipe_coco.yolo import YoloSinkFactory

        return YoloSinkFactory()

    @pytest.fixture(autouse=True)
    def photos(self, run):
        for name in IN_ORDER:
            (run.root / f"{name}.jpg").write_bytes(name.encode())

    def read(self, target):
        if not Path(target, "data.yaml").exists():
            return []
        folder = yaml.safe_load(Path(target, "data.yaml").read_text(encoding="utf-8"))["train"]
        found = [path.name for path in Path(target, folder).iterdir()]
        assert sorted(path.stem for path in Path(target, "labels").iterdir()) == sorted(
            Path(name).stem for name in found
        )
        return sorted(found, key=lambda file: IN_ORDER.index(Path(file).stem))
