"""The sinks keep the contract. What they write is read with a reader of the tests' own."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from olpipe.testing.contracts import PluginContract, SinkContract

IN_ORDER = ("one", "two", "three")
SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"


def tags_in(text):
    return [item.text for item in next(ElementTree.fromstring(text).iter(SUBJECT)).iter() if item.tag.endswith("}li")]


def sidecars(folder):
    found = [path for path in Path(folder).glob("*.xmp") if tags_in(path.read_bytes()) == ["a, b", '"c"']]
    return sorted((path.name.removesuffix(".xmp") for path in found), key=lambda name: IN_ORDER.index(name[:-4]))


class TestModule(PluginContract):
    module = "olpipe_xmp"


class TestXmp(SinkContract):
    @pytest.fixture
    def factory(self):
        from olpipe_xmp.sinks import XmpFactory

        return XmpFactory()

    def read(self, target):
        return sidecars(target)


class _ListedContract(SinkContract):
    """Files that lie elsewhere: those that count are in the list, and each must hold its tags."""

    @pytest.fixture(autouse=True)
    def photos(self, run):
        for name in IN_ORDER:
            Image.new("RGB", (4, 3)).save(run.root / f"{name}.jpg")
        self.folder = run.root

    def read(self, target):
        lines = Path(target, ".olpipe-xmp.jsonl")
        found = [json.loads(line) for line in lines.read_bytes().splitlines()] if lines.exists() else []
        names = [line["file"] for line in found if "left_out" not in line]
        assert all(tags_in(self.packet(self.folder / name)) == ["a, b", '"c"'] for name in names)
        return names


class TestXmpBeside(_ListedContract):
    @pytest.fixture
    def factory(self):
        from olpipe_xmp.sinks import XmpBesideFactory

        return XmpBesideFactory()

    def packet(self, photo):
        return photo.with_name(f"{photo.name}.xmp").read_bytes()


class TestXmpEmbed(_ListedContract):
    @pytest.fixture
    def factory(self):
        from olpipe_xmp.sinks import XmpEmbedFactory

        return XmpEmbedFactory()

    def packet(self, photo):
        with Image.open(photo) as opened:
            return opened.info["xmp"]
