"""What `olpipe pull photo-mini` leaves in the store, and what it refuses."""

import pytest
from olpipe_photo_mini.source import SYSTEM, PhotoMiniSource
from olpipe_photo_mini.weights import ADAPTER

from olpipe.convert.adapter import read_adapter
from olpipe.convert.gguf import read_header
from olpipe.errors import PullFailed
from olpipe.interfaces import Progress
from olpipe.model import ModelName
from olpipe.store import digests
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
    assert config.conversion["precision"] == "int4-fast"
    assert config.capabilities == ("completion",)


def test_the_manifest_carries_the_licences_of_all_three_networks(bundle):
    text = "\n".join(bundle.licenses)
    for part in ("SmolLM2-135M-Instruct", "EfficientNet-Lite0", "CenterNet".lower(), "Vladimir Mandic", "Version 2.0"):
        assert part in text


def test_the_manifest_carries_the_adapter_a_short_system_message_and_the_model_card(bundle):
    assert (bundle.path / "adapter.safetensors").read_bytes() == ADAPTER.path.read_bytes()
    assert bundle.system == SYSTEM
    for part in ("CC BY 4.0", "COCO Consortium", "CHAIR-i", "## Limits"):
        assert part in bundle.card


def test_the_adapter_is_what_was_pinned_and_small():
    assert digests.of_file(ADAPTER.path) == f"sha256:{ADAPTER.sha256}"
    assert ADAPTER.path.stat().st_size <= 10_000_000


def test_the_adapter_fits_the_model(bundle):
    read_adapter(ADAPTER.path).check(read_header(bundle.path / "model.gguf"))


def test_only_photo_mini_can_be_pulled_from_here(tmp_path):
    said: list[Progress] = []
    library = Library(tmp_path / "models", cache=tmp_path / "cache")
    with pytest.raises(PullFailed, match="`photo-mini:large` is not a model"):
        PhotoMiniSource().pull("large", ModelName.parse("x"), library, said.append)
    assert library.names() == []
    assert said == []
