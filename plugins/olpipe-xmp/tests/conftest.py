import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from olpipe.testing.contracts.sinks import opened, run_info
from olpipe.testing.fixtures import announce_project, plugin_folder

__all__ = ["announce_project", "plugin_folder"]

PROJECT = Path(__file__).parents[1]
DOG = {"x": 3, "y": 4, "w": 9, "h": 8, "type": "dog", "score": 0.91}


@pytest.fixture(autouse=True)
def installed(announce_project):
    """Make the project a plugin, so that the tests run where it is not installed; return the plugin's name."""
    return announce_project(PROJECT)


class Photos:
    """A folder of photos 30 wide and 40 high, an output folder, and runs of a sink that write to them."""

    def __init__(self, root):
        self.root, self.output = root, root / "out"
        self.output.mkdir(parents=True)
        self.run = replace(run_info(self.output), language="en")
        self.position = 0

    def put(self, name, orientation=1, **options):
        """Save a photo that is upright at 30 x 40, and return its path."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif.update({0x011A: 72.0, 0x011B: 72.0, 0x0128: 2, 0x0213: 1})  # what EXIF wants to see in a JPEG
        size = (40, 30) if orientation >= 5 else (30, 40)
        Image.effect_noise(size, 50).convert("RGB").save(path, exif=exif, **options)
        return path

    def row(self, name, **more):
        """Return a record of a photo."""
        return {
            "file": name,
            "sha256": hashlib.sha256((self.root / name).read_bytes()).hexdigest(),
            "image": {"width": 30, "height": 40, "orientation": 1},
            "tags": ["dog", "lawn"],
            "title": "A dog",
            "description": "A dog lies on the lawn.",
            "alt": "A dog on grass",
            "objects": [DOG],
            **more,
        }

    def write(self, target, *rows, position=0, run=None):
        """Let a sink write rows as one run does, and return its position."""
        factory, target = self.factory(target)
        with opened(factory, target, run or self.run, position) as sink:
            for row in rows:
                sink.write(row)
            return sink.flush()

    def reaches(self, target, position):
        """Say whether a sink can go on behind a position."""
        factory, target = self.factory(target)
        sink = factory.open(target, self.run)
        reached = sink.recover(position)
        sink.close()
        return reached

    def factory(self, text):
        """Return the factory that `SCHEME:TARGET` names, and the target."""
        import olpipe_xmp

        scheme, _, target = text.partition(":")
        (factory,) = [one for one in olpipe_xmp.register_sinks() if one.scheme == scheme]
        return factory, target or factory.usual_target


@pytest.fixture
def photos(tmp_path):
    folder = Photos(tmp_path / "photos")
    yield folder
    shutil.rmtree(folder.root, ignore_errors=True)
