"""How perceivers are used: found once, given the pixels that they want, and told by name when they fail."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.errors import ImageUnreadable, PluginError
from olpipe.generation import GenerateRequest
from olpipe.image import USUAL_PIXELS, Box, DecodedImage
from olpipe.imaging.decode import decode
from olpipe.interfaces import Perceiver
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.perception.ground import Grounder
from olpipe.record import Detection, Evidence
from olpipe.registry import Registry

BOX = Box(1, 2, 20, 10)


class Looking(Perceiver):
    """Finds one thing, and writes down how many pixels it was shown."""

    version = "1"

    def __init__(self, name, pixels=USUAL_PIXELS):
        self.name = name
        self.fit_pixels = pixels
        self.shown = []

    def perceive(self, image):
        self.shown.append((image.pixels.shape[0] * image.pixels.shape[1], image.width, image.height))
        return Evidence((Detection(f"{self.name} thing", 0.9, BOX),))


class CountingRegistry(Registry):
    """Counts how often each name is looked up."""

    def __init__(self):
        super().__init__("perceiver", Perceiver)
        self.asked = Counter()

    def get(self, name):
        self.asked[name] += 1
        return super().get(name)


def encode(pixels):
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "JPEG")
        return file.getvalue()


def photo(height, width, scale=1):
    return DecodedImage(np.zeros((height, width, 3), np.uint8), width=width * scale, height=height * scale)


def request(*images):
    return GenerateRequest("m", (Message.of("user", "Look.", *images),))


def grounder(*perceivers, sees=False, registry=None):
    registry = Registry("perceiver", Perceiver) if registry is None else registry
    for perceiver in perceivers:
        registry.register(perceiver, f"plugin-{perceiver.name}")
    names = tuple(perceiver.name for perceiver in perceivers)
    config = ModelConfig(capabilities=("vision",) if sees else ("completion",), perceivers=names)
    return Grounder(ModelBundle(ModelName.parse("m"), "sha256:0", Path(), Path(), config), registry)


def test_perceivers_are_looked_up_once_however_many_photos_there_are():
    registry = CountingRegistry()
    ready = grounder(Looking("one"), Looking("two"), registry=registry)
    for _ in range(3):
        ready.ground(request(photo(30, 40), photo(30, 40)))
    assert registry.asked == {"one": 1, "two": 1}
    assert [perceiver.name for perceiver in ready.perceivers] == ["one", "two"]


def test_a_perceiver_that_is_named_twice_looks_once():
    one = Looking("one")
    registry = Registry("perceiver", Perceiver)
    registry.register(one, "test")
    model = ModelBundle(ModelName.parse("m"), "sha256:0", Path(), Path())
    grounded = Grounder(model, registry, names=("one", "one")).ground(request(photo(30, 40))).request
    assert len(one.shown) == 1
    assert grounded.messages[0].text.count("one thing") == 1


def test_each_perceiver_gets_the_pixels_that_it_can_use_and_boxes_stay_in_pixels_of_the_original():
    usual, fine = Looking("usual"), Looking("fine", 4_000_000)
    ready = grounder(usual, fine)
    assert ready.sizes(400_000) == {USUAL_PIXELS, 4_000_000}
    ready.ground(request(photo(1500, 2500, scale=2)))  # 3.75 of 15 megapixels are left
    (usual_pixels, *usual_size), (fine_pixels, *fine_size) = *usual.shown, *fine.shown
    assert 0.99 * USUAL_PIXELS < usual_pixels <= 1.01 * USUAL_PIXELS
    assert fine_pixels == 1500 * 2500
    assert usual_size == fine_size == [5000, 3000]


@pytest.mark.parametrize(
    ("perceivers", "sees", "sizes"),
    [
        ((), False, {400_000}),
        ((), True, {400_000}),
        ((Looking("one"), Looking("two")), False, {USUAL_PIXELS}),
        ((Looking("one"), Looking("two", 9)), True, {400_000, USUAL_PIXELS, 9}),
    ],
)
def test_photos_are_wanted_in_the_sizes_that_perceivers_and_a_model_that_sees_can_use(perceivers, sees, sizes):
    assert grounder(*perceivers, sees=sees).sizes(400_000) == sizes


class Watching(Looking):
    """Keeps the pixels that it was shown."""

    def perceive(self, image):
        self.seen = image.pixels
        return Evidence()


def test_what_a_perceiver_sees_does_not_depend_on_what_the_others_can_use():
    noise = np.random.default_rng(3).integers(0, 256, (600, 900, 3), np.uint8)
    data = encode(noise)
    alone, beside, fine = Watching("alone", 40_000), Watching("beside", 40_000), Watching("fine", 300_000)
    for ready in (grounder(alone), grounder(fine, beside)):
        ready.ground(request(decode(data, ".jpg", [PillowLoader()], sizes=ready.sizes(USUAL_PIXELS))))
    assert np.array_equal(alone.seen, beside.seen)
    assert fine.seen.size > 7 * beside.seen.size


def test_a_perceiver_cannot_change_what_others_see():
    class Scribbling(Looking):
        def perceive(self, image):
            image.pixels[:] = 0
            return Evidence()

    with pytest.raises(PluginError, match=r"the perceiver `scribbling` .* failed: ValueError: .*read-only"):
        grounder(Scribbling("scribbling")).ground(request(photo(30, 40)))


def test_a_model_that_sees_gets_one_size_of_a_photo():
    image = decode(encode(np.zeros((60, 90, 3), np.uint8)), ".jpg", [PillowLoader()], sizes=(5400, 600))
    assert [pixels.shape[:2] for pixels in (image.pixels, *image.smaller)] == [(60, 90), (20, 30)]
    for wanted, shape in ((600, (20, 30)), (5400, (60, 90))):
        (shown,) = grounder(sees=True).ground(request(image), model_pixels=wanted).request.messages[0].images
        assert (shown.pixels.shape[:2], shown.smaller) == (shape, ())


@pytest.mark.parametrize("perceivers", [(), (Looking("fine", 4_000_000),)])
def test_a_model_that_sees_gets_no_more_pixels_than_it_can_use(perceivers):
    asked = request(photo(1500, 2500, scale=2), photo(30, 40))
    grounded = grounder(*perceivers, sees=True).ground(asked, model_pixels=400_000).request
    large, small = grounded.messages[0].images
    height, width = large.pixels.shape[:2]
    assert 0.99 * 400_000 < height * width <= 1.01 * 400_000
    assert (large.width, large.height) == (5000, 3000)
    assert small is asked.messages[0].images[1]


class Failing(Looking):
    """Fails at one of the calls, in the way that it is told."""

    def __init__(self, *, call, error=None, result=None):
        super().__init__("failing")
        self.call, self.error, self.result = call, error, result

    def perceive(self, image):
        return self.fail("perceive") or self.result

    def words(self):
        self.fail("words")
        return self.result if self.call == "words" else {}

    def fail(self, call):
        if call == self.call and self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"call": "perceive", "error": ValueError("no luck\nat all")}, "ValueError: no luck"),
        ({"call": "perceive", "error": OSError(2, "No such file")}, "FileNotFoundError: No such file"),
        ({"call": "perceive", "error": KeyError()}, "KeyError: KeyError"),
        ({"call": "words", "error": ValueError("no words")}, "ValueError: no words"),
        ({"call": "words", "result": ["man"]}, "TypeError: its `words` are a list where a mapping is expected"),
        ({"call": "", "result": None}, "TypeError: it gave a NoneType where `Evidence` is expected"),
        ({"call": "", "result": [BOX]}, "TypeError: it gave a list where `Evidence` is expected"),
    ],
)
def test_a_perceiver_that_fails_is_told_with_its_name_and_its_plugin(options, reason):
    with pytest.raises(PluginError) as caught:
        grounder(Failing(**options)).ground(request(photo(30, 40)))
    assert caught.value.message == f"the perceiver `failing` of the plugin `plugin-failing` failed: {reason}"
    assert caught.value.hint == "run again with OLPIPE_DEBUG=1 to see where"


def test_an_error_of_ours_in_a_perceiver_stays_what_it_is():
    failing = Failing(call="perceive", error=ImageUnreadable("the image is damaged"))
    with pytest.raises(ImageUnreadable, match="the image is damaged"):
        grounder(failing).ground(request(photo(30, 40)))
