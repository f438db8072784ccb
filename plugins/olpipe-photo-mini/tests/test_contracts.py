"""What the plugin brings keeps the contract of its kind."""

import pytest
from olpipe_photo_mini.perceiver import PhotoMini
from olpipe_photo_mini.source import PhotoMiniSource

from olpipe.testing.contracts import ModelSourceContract, PerceiverContract, PluginContract


@pytest.fixture(scope="module")
def photo_mini():
    return PhotoMini()


class TestModule(PluginContract):
    module = "olpipe_photo_mini"


class TestPerceiver(PerceiverContract):
    @pytest.fixture
    def perceiver(self, photo_mini):
        return photo_mini


class TestSource(ModelSourceContract):
    # These would download the model again; whoever asks for the fixture `photo_mini_home` has it pulled once.
    test_what_is_pulled_is_in_the_store = None
    test_pulling_again_gives_the_same_model = None

    @pytest.fixture
    def source(self):
        return PhotoMiniSource()
