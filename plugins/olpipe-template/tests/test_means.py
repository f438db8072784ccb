"""The family `Means`, and a model of it."""

import numpy as np
import pytest

from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.model import LoadOptions, ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.contracts import FamilyContract
from olpipe.testing.gguf import write_gguf
from olpipe.testing.images import decoded, plain
from olpipe.testing.models import write_tiny_gguf

WIDTH = 64  # of the tiny text model

METADATA = {
    "general.architecture": "clip",
    "clip.has_vision_encoder": True,
    "clip.projector_type": "means",
    "clip.vision.projection_dim": WIDTH,
    "clip.vision.image_size": 8,
    "clip.vision.image_mean": [0.5, 0.5, 0.5],
    "clip.vision.image_std": [0.25, 0.25, 0.25],
}


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a model: a tiny text model with random weights, and its projector."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_tiny_gguf(folder / "model.gguf", special=["<image>"])
    random = np.random.default_rng(0)
    layer = {"weight": random.normal(0, 1, (WIDTH, 3)), "bias": random.normal(0, 1, WIDTH)}
    tensors = {f"v.means.{name}": values.astype(np.float32) for name, values in layer.items()}
    write_gguf(folder / "projector.gguf", METADATA, tensors)
    return folder


@pytest.fixture
def family():
    from olpipe_template.means_family import MeansFamily

    return MeansFamily()


class TestMeans(FamilyContract):
    @pytest.fixture
    def family(self, family):
        return family

    @pytest.fixture
    def projector(self, folder):
        return folder / "projector.gguf"


@pytest.fixture
def runner(installed, folder, tmp_path):
    """Load the model as olpipe does, with the plugin that brings the family."""
    backend = Plugins.load(Settings(home=tmp_path, plugins_allow=(installed,))).backends.get("onnx")
    bundle = ModelBundle(ModelName.parse("tiny"), "sha256:0", folder, tmp_path / "cache")
    assert backend.refuses(bundle) is None
    backend.build(bundle, lambda progress: None)
    runner = backend.load(bundle, LoadOptions(threads=1))
    yield runner
    runner.close()


def likely(runner, image):
    """Return how likely the tokens are that may come first in an answer about an image."""
    message = Message("user", (ImagePart(image), TextPart("What is it?")))
    request = GenerateRequest("tiny", (message,), sampling=SamplingParams(max_tokens=1), top_logprobs=20)
    prepared = runner.prepare(request)
    runner.start(1, prepared)
    said = [chunk for _ in range(3) for _, chunk in runner.step()]
    (told,) = [told for chunk in said for told in chunk.logprobs]
    return prepared.prompt_tokens, told.top_raw


def test_different_images_make_different_tokens_likely(runner):
    squares, grey = likely(runner, decoded()), likely(runner, plain())
    assert squares != grey
    assert likely(runner, decoded()) == squares


def test_an_image_is_as_many_tokens_as_it_has_cells(runner):
    large, small = decoded(), DecodedImage(decoded(2, 3).pixels, 2, 3)
    assert likely(runner, large)[0] - likely(runner, small)[0] == 64 - 6
