"""The contract of perceivers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest

from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.languages import choose, is_tag
from olpipe.record import LONGEST_NAME, Evidence
from olpipe.testing.contracts.plain import is_plain
from olpipe.testing.images import decoded, plain

SIZES = ((48, 32, 1), (48, 32, 7), (300, 2, 1), (1, 1, 1))
"""Width and height of the pixels, and how much larger the original was."""


class PerceiverContract:
    """Every `Perceiver`. Give it the fixtures `perceiver` and `photo`, and say in `seen` what is in the photo.

    Attributes:
        seen: What the perceiver must see in the photo: names of tags or of objects, or words that it reads.
    """

    seen: Collection[str]

    @pytest.fixture
    def perceiver(self) -> Perceiver:
        """Return the perceiver."""
        raise NotImplementedError

    @pytest.fixture
    def photo(self) -> DecodedImage:
        """Return a photo that shows what the perceiver is made for."""
        raise NotImplementedError

    def test_it_has_a_name_and_a_version(self, perceiver: Perceiver) -> None:
        """Both are part of every recipe's key."""
        for text in (perceiver.name, perceiver.version):
            assert isinstance(text, str)
            assert text

    def test_it_says_how_many_pixels_it_can_use(self, perceiver: Perceiver) -> None:
        """Larger photos are scaled down for it."""
        assert type(perceiver.fit_pixels) is int
        assert perceiver.fit_pixels > 0

    def test_it_sees_what_it_is_made_for(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """Everything in `seen` is in the evidence."""
        assert set(self.seen), "`seen` says what is in the photo"
        assert set(self.seen) - _names(perceiver.perceive(photo)) == set()

    def test_it_does_not_see_that_in_every_photo(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """In a plain grey photo it finds something else, or nothing."""
        assert not set(self.seen) <= _names(perceiver.perceive(plain()))

    def test_its_names_are_short(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """Longer ones are left out, and evidence separates names by commas."""
        for name in _nouns(perceiver.perceive(photo)) | _nouns(perceiver.perceive(decoded())):
            assert 0 < len(name) <= LONGEST_NAME, name
            assert "," not in name, name
            assert " ".join(name.split()) == name, name

    def test_its_evidence_consists_of_plain_values(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """Numbers are Python's own, and those of boxes are whole. Evidence is kept as JSON and read again unchanged."""
        for image in (photo, decoded()):
            evidence = perceiver.perceive(image)
            assert is_plain(asdict(evidence)), evidence
            assert all(type(side) is int for box in _boxes(evidence) for side in asdict(box).values())
            assert all(type(score) is float for score in _scores(evidence))
            assert Evidence.from_json(asdict(evidence)) == evidence

    @pytest.mark.parametrize(("width", "height", "scale"), SIZES)
    def test_its_boxes_lie_inside_the_original(self, perceiver: Perceiver, width: int, height: int, scale: int) -> None:
        """That holds for every size and shape of the pixels."""
        for box in _boxes(perceiver.perceive(decoded(width, height, scale=scale))):
            assert _lies_inside(box, width * scale, height * scale), box

    def test_its_boxes_are_in_pixels_of_the_original(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """They grow with the original, where the pixels are the same."""
        small = _boxes(perceiver.perceive(photo))
        large = _boxes(perceiver.perceive(replace(photo, width=3 * photo.width, height=3 * photo.height)))
        assert len(small) == len(large)
        for one, other in zip(small, large, strict=True):
            assert _lies_inside(one, photo.width, photo.height), one
            for side, grown in zip(asdict(one).values(), asdict(other).values(), strict=True):
                assert abs(3 * side - grown) <= 6, (one, other)

    def test_it_is_surest_first_and_says_how_sure(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """Scores are in 0..1. Words that it reads come in the order in which people read them."""
        for image in (photo, decoded()):
            evidence = perceiver.perceive(image)
            assert all(0.0 <= score <= 1.0 for score in _scores(evidence))
            for scores in ([label.score for label in evidence.tags], [thing.score for thing in evidence.objects]):
                assert all(first >= second for first, second in pairwise(scores)), scores

    def test_it_says_whether_it_reads(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """The words that it reads stand in records, so the recipes' keys must know of them."""
        assert perceiver.reads or not any(perceiver.perceive(image).texts for image in (photo, decoded()))

    def test_no_tag_comes_twice(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """A record's tags are all different."""
        for image in (photo, decoded()):
            names = [label.name for label in perceiver.perceive(image).tags]
            assert len(names) == len(set(names)), names

    def test_it_leaves_the_pixels_alone(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """Other perceivers and the model get the same pixels."""
        before = photo.pixels.copy()
        perceiver.perceive(photo)
        assert np.array_equal(photo.pixels, before)

    def test_its_words_stand_under_tags_of_languages(self, perceiver: Perceiver) -> None:
        """Each language is a BCP 47 tag, none of them is English, and no word is empty."""
        translations = perceiver.translations()
        assert [tag for tag in translations if not is_tag(tag) or choose(tag, ("en",))] == []
        assert all(name and word.strip() for words in translations.values() for name, word in words.items())

    def test_the_words_for_what_it_looks_for_are_single_words(self, perceiver: Perceiver) -> None:
        """They are compared with the words of a text, in lower case."""
        words = perceiver.words()
        assert isinstance(words, Mapping)
        for name, forms in words.items():
            assert name == name.casefold()
            assert not isinstance(forms, str)
            assert [form for form in forms if form != form.casefold() or len(form.split()) != 1] == []

    def test_the_same_photo_gives_the_same_evidence(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """No photo has an effect on the evidence of the next one."""
        first = perceiver.perceive(photo)
        perceiver.perceive(decoded())
        assert perceiver.perceive(photo) == first

    def test_several_threads_may_call_it_at_once(self, perceiver: Perceiver, photo: DecodedImage) -> None:
        """Each gets the evidence of its own photo."""
        images = (photo, decoded(), plain(), decoded(32, 48))
        alone = [perceiver.perceive(image) for image in images]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(perceiver.perceive, images * 4))
        assert together == alone * 4


def _nouns(evidence: Evidence) -> set[str]:
    """Return all names of things, without the words that are read."""
    names = {label.name for label in evidence.tags}
    return names.union(*({thing.label, *thing.tags} for thing in evidence.objects))


def _names(evidence: Evidence) -> set[str]:
    return _nouns(evidence) | {text.text for text in evidence.texts}


def _boxes(evidence: Evidence) -> list[Box]:
    boxes = [thing.box for thing in evidence.objects]
    return boxes + [text.box for text in evidence.texts if text.box is not None]


def _scores(evidence: Evidence) -> list[float]:
    things = [thing.score for thing in evidence.objects]
    return [label.score for label in evidence.tags] + things + [text.score for text in evidence.texts]


def _lies_inside(box: Box, width: int, height: int) -> bool:
    return box.w > 0 and box.h > 0 and 0 <= box.x <= width - box.w and 0 <= box.y <= height - box.h
