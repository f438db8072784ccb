"""What the plugin brings keeps the contract of its kind."""

from pathlib import Path

import pytest
from olpipe_photo_mini.perceiver import PhotoMini
from olpipe_photo_mini.source import PhotoMiniSource

from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.imaging.decode import load
from olpipe.testing.contracts import ModelSourceContract, PerceiverContract, PluginContract

SAMPLES = Path(__file__).parents[3] / "samples/photos"


@pytest.fixture(scope="module")
def photo_mini():
    return PhotoMini()


class TestModule(PluginContract):
    module = "olpipe_photo_mini"


class TestPerceiver(PerceiverContract):
    seen = ("cat",)

    @pytest.fixture
    def perceiver(self, photo_mini):
        return photo_mini

    @pytest.fixture
    def photo(self):
        return load(SAMPLES / "cat.jpg", [PillowLoader()])


class TestSource(ModelSourceContract):
    @pytest.fixture
    def source(self):
        return PhotoMiniSource()

    @pytest.fixture
    def reference(self):
        pytest.skip("the model would be downloaded again; the tests that use `photo_mini_home` pull it")
