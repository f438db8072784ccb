"""A good perceiver, and perceivers with one fault each."""

import time
from dataclasses import replace

import numpy as np
import pytest
from mutants.breaking import Mutants

from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.record import Detection, Evidence, Label, ReadText
from olpipe.testing.contracts import PerceiverContract
from olpipe.testing.images import plain

CONTRACT = PerceiverContract


class Reds(Perceiver):
    """Sees red: as a tag, as an object with its box, and as a text."""

    name, version = "reds", "1"
    reads = True

    def perceive(self, image):
        height, width, _ = image.pixels.shape
        pixels = image.pixels.astype(int)
        red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)
        light = Label("light", float(pixels.mean() / 255))
        if not red.any():
            return Evidence(tags=(light,))
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        across, down = image.width / width, image.height / height
        left, top = round(int(columns[0]) * across), round(int(rows[0]) * down)
        right, bottom = round((int(columns[-1]) + 1) * across), round((int(rows[-1]) + 1) * down)
        box = Box(left, top, max(1, right - left), max(1, bottom - top))
        tags = sorted((Label("red", float(red.mean())), light), key=lambda label: -label.score)
        objects = (Detection("red", 0.9, box, ("crimson",)), Detection("patch", 0.5, box))
        return Evidence(objects, tuple(tags), (ReadText("STOP", 0.4, box), ReadText("Here, now", 0.8)))

    def translations(self):
        return {"de": {"red": "Rot"}}

    def words(self):
        return {"red": {"red", "reds", "crimson"}}


def boxed(evidence, change):
    """Return evidence with other boxes."""
    return replace(evidence, objects=tuple(replace(thing, box=change(thing.box)) for thing in evidence.objects))


PLUGINS = Mutants(Reds)


@PLUGINS.broken("test_it_has_a_name_and_a_version")
class Unversioned(Reds):
    """Records do not notice when it changes."""

    version = ""


@PLUGINS.broken("test_it_says_how_many_pixels_it_can_use")
class CountsMegapixels(Reds):
    """It says how many millions of pixels it can use."""

    fit_pixels = 1.5


@PLUGINS.broken("test_it_sees_what_it_is_made_for")
class SeesNothing(Reds):
    """Its evidence is always empty."""

    def perceive(self, image):
        return Evidence()


@PLUGINS.broken("test_it_does_not_see_that_in_every_photo")
class SeesRedEverywhere(Reds):
    """It says the same of every photo."""

    def perceive(self, image):
        return Evidence(tags=(Label("red", 0.5), Label("STOP", 0.5)))


@PLUGINS.broken("test_its_names_are_short")
class TellsStories(Reds):
    """A name is a sentence, with commas."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, tags=(Label("red, as in roses, tomatoes and fire engines", 1.0), *found.tags))


@PLUGINS.broken("test_its_names_are_short")
class LeavesNamesEmpty(Reds):
    """Something is there, and it does not say what."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, objects=tuple(replace(thing, label="") for thing in found.objects))


@PLUGINS.broken("test_its_names_are_short")
class KeepsLineBreaks(Reds):
    """A name has two lines."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, objects=tuple(replace(thing, tags=("dark\nred",)) for thing in found.objects))


@PLUGINS.broken("test_its_evidence_consists_of_plain_values")
class ScoresInNumpy(Reds):
    """Its scores are numbers of numpy, which look like floats."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, tags=tuple(replace(label, score=np.float64(label.score)) for label in found.tags))


@PLUGINS.broken("test_its_evidence_consists_of_plain_values")
class BoxesInNumpy(Reds):
    """Its boxes are numbers of numpy, which no JSON can hold."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(
            found,
            objects=tuple(replace(thing, box=replace(thing.box, x=np.int64(thing.box.x))) for thing in found.objects),
        )


@PLUGINS.broken("test_its_evidence_consists_of_plain_values")
class BoxesInFloats(Reds):
    """A box begins in the middle of a pixel."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(
            found,
            objects=tuple(replace(thing, box=replace(thing.box, w=float(thing.box.w))) for thing in found.objects),
        )


@PLUGINS.broken("test_its_evidence_consists_of_plain_values")
class ScoresOne(Reds):
    """A score is a whole number, or not a number at all."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, tags=tuple(replace(label, score=1) for label in found.tags))


@PLUGINS.broken("test_its_evidence_consists_of_plain_values")
class ReturnsLists(Reds):
    """Evidence that comes back from JSON is not equal to it."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, tags=list(found.tags))


@PLUGINS.broken("test_its_boxes_lie_inside_the_original")
class RoundsUp(Reds):
    """A box is a pixel too wide."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(
            found,
            objects=tuple(
                replace(thing, box=replace(thing.box, w=image.width - thing.box.x + 1)) for thing in found.objects
            ),
        )


@PLUGINS.broken("test_its_boxes_lie_inside_the_original")
class BoxesWithoutArea(Reds):
    """A box of a small photo has no width."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, texts=tuple(replace(text, box=Box(0, 0, 0, 1)) for text in found.texts))


@PLUGINS.broken("test_its_boxes_are_in_pixels_of_the_original")
class BoxesOfPixels(Reds):
    """Its boxes are in pixels of what it was given, not of the original."""

    def perceive(self, image):
        height, width, _ = image.pixels.shape
        return super().perceive(replace(image, width=width, height=height))


@PLUGINS.broken("test_it_is_surest_first_and_says_how_sure")
class LeastSureFirst(Reds):
    """The surest comes last."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, objects=found.objects[::-1])


@PLUGINS.broken("test_it_is_surest_first_and_says_how_sure")
class ScoresInPercent(Reds):
    """It is up to a hundred times sure."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, texts=tuple(replace(text, score=100 * text.score) for text in found.texts))


@PLUGINS.broken("test_it_says_whether_it_reads")
class ReadsUnannounced(Reds):
    """It reads words and does not say so, so records without these words would stay."""

    reads = False


@PLUGINS.broken("test_no_tag_comes_twice")
class RepeatsTags(Reds):
    """A tag for every patch of the same kind."""

    def perceive(self, image):
        found = super().perceive(image)
        return replace(found, tags=tuple(label for label in found.tags for _ in range(2)))


@PLUGINS.broken("test_it_leaves_the_pixels_alone")
class PaintsOnThePhoto(Reds):
    """It draws into the pixels that the model will see."""

    def perceive(self, image):
        found = super().perceive(image)
        image.pixels[0, 0] = 0
        return found


@PLUGINS.broken("test_its_words_stand_under_tags_of_languages")
class SpeaksAGibberish(Reds):
    """Words stand under something that is no language."""

    def translations(self):
        return {"German!": {"red": "Rot"}}


@PLUGINS.broken("test_its_words_stand_under_tags_of_languages")
class LeavesWordsEmpty(Reds):
    """A name has an empty word in German."""

    def translations(self):
        return {"de": {"red": " "}}


@PLUGINS.broken("test_the_words_for_what_it_looks_for_are_single_words")
class WritesWordsLarge(Reds):
    """Its words are never found in a text."""

    def words(self):
        return {"red": {"Red"}}


@PLUGINS.broken("test_the_words_for_what_it_looks_for_are_single_words")
class GivesOneText(Reds):
    """Its words are the letters of one."""

    def words(self):
        return {"red": "red"}


@PLUGINS.broken("test_the_words_for_what_it_looks_for_are_single_words")
class GivesPhrases(Reds):
    """Two words are never one word of a text."""

    def words(self):
        return {"red": {"bright red"}}


@PLUGINS.broken("test_the_same_photo_gives_the_same_evidence")
class RemembersPhotos(Reds):
    """It sees in a photo what was in the last one."""

    def __init__(self):
        self.last = Evidence()

    def perceive(self, image):
        before, self.last = self.last, super().perceive(image)
        return Evidence(self.last.objects, self.last.tags, (*self.last.texts, *before.texts[:1]))


@PLUGINS.broken("test_several_threads_may_call_it_at_once")
class SharesPixels(Reds):
    """Threads put their photos into the same place."""

    def __init__(self):
        self.image = None

    def perceive(self, image):
        self.image = image
        time.sleep(0.002)  # others come in
        return super().perceive(self.image)


class TestPerceiver(PerceiverContract):
    seen = ("red", "STOP")

    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def perceiver(self, plugin):
        return plugin.make()

    @pytest.fixture
    def photo(self):
        pixels = plain(400, 300).pixels.copy()
        pixels[60:150, 80:240] = (230, 20, 20)
        return DecodedImage(pixels, 400, 300)
