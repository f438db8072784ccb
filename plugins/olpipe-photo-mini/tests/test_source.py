"""What `olpipe pull photo-mini` leaves in the store, and what it refuses."""

import pytest
from olpipe_photo_mini.source import PhotoMiniSource

from olpipe.errors import PullFailed
from olpipe.interfaces import Progress
from olpipe.model import ModelName
from olpipe.store.library import Library


@pytest.fixture(scope="session")
def bundle(photo_mini_home):
    return Library(photo_mini_home / "models", cache=photo_mini_home / "cache").get(ModelName.parse("photo-mini"))


def test_the_manifest_names_the_model_and_its_perceiver(bundle):
    config = bundle.config
    assert (config.model_format, config.model_family, config.file_type) == ("gguf", "llama", "Q4_1")
    assert config.context_length == 8192
    assert config.perceivers == ("photo-mini",)
    assert config.languages == ("en",)
    assert config.conversion["precision"] == "int4"
    assert config.capabilities == ("completion",)


def test_the_manifest_carries_the_licences_of_all_three_networks(bundle):
    text = "\n".join(bundle.licenses)
    for part in ("SmolLM2-135M-Instruct", "EfficientNet-Lite0", "CenterNet".lower(), "Vladimir Mandic", "Version 2.0"):
        assert part in text


def test_only_photo_mini_can_be_pulled_from_here(tmp_path):
    said: list[Progress] = []
    library = Library(tmp_path / "models", cache=tmp_path / "cache")
    with pytest.raises(PullFailed, match="`photo-mini:large` is not a model"):
        PhotoMiniSource().pull("large", ModelName.parse("x"), library, said.append)
    assert library.names() == []
    assert said == []
