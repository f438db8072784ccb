"""The real networks on real photos."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from olpipe_photo_mini import labels, thresholds, weights
from olpipe_photo_mini.chances import Sighting, chance, logit
from olpipe_photo_mini.perceiver import PhotoMini, best_first, centre_square, crop

from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.image import Box, DecodedImage
from olpipe.record import Label

PHOTOS = Path(__file__).parents[3] / "samples" / "photos"


def decode(name):
    return PillowLoader().decode((PHOTOS / name).read_bytes(), refuse_pixels=10**7, fit_pixels=10**6)


@pytest.fixture(scope="module")
def perceiver():
    return PhotoMini()


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("cat.jpg", "cat"),
        ("cat-on-its-side.jpg", "cat"),
        ("coffee.jpg", "cup"),
        ("astronaut.jpg", "person"),
    ],
)
def test_the_surest_tag_and_the_surest_object_are_what_the_photo_shows(perceiver, name, best):
    evidence = perceiver.perceive(decode(name))
    assert evidence.objects[0].label == best
    assert best in [label.name for label in evidence.tags]


def test_the_classifier_adds_finer_names(perceiver):
    assert "espresso" in [label.name for label in perceiver.perceive(decode("coffee.jpg")).tags]
    assert "tripod" in [label.name for label in perceiver.perceive(decode("photographer.jpg")).tags]


def test_a_cat_fills_most_of_its_photo_and_is_no_dog(perceiver):
    photo = decode("cat.jpg")
    evidence = perceiver.perceive(photo)
    assert evidence.objects[0].box.area > photo.width * photo.height / 2
    assert "dog" not in [label.name for label in evidence.tags]


def test_a_photo_without_anything_known_gives_no_objects(perceiver):
    assert perceiver.perceive(decode("bricks.jpg")).objects == ()


def test_boxes_are_in_pixels_of_the_original_however_far_it_was_scaled_down(perceiver):
    data = (PHOTOS / "cat.jpg").read_bytes()
    full = perceiver.perceive(decode("cat.jpg")).objects[0].box
    small = PillowLoader().decode(data, refuse_pixels=10**7, fit_pixels=30_000)
    assert small.pixels.shape[1] < small.width == 451
    found = perceiver.perceive(small).objects[0].box
    assert abs(found.w - full.w) < 40
    assert abs(found.h - full.h) < 40


def test_tags_are_unique_and_surest_first(perceiver):
    tags = perceiver.perceive(decode("photographer.jpg")).tags
    assert len({label.name for label in tags}) == len(tags)
    assert [label.score for label in tags] == sorted((label.score for label in tags), reverse=True)


def test_threads_that_start_together_all_see_what_one_sees():
    photos = [decode(name) for name in ("cat.jpg", "coffee.jpg")] * 4
    alone = [PhotoMini().perceive(photo) for photo in photos[:2]]
    fresh = PhotoMini()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fresh.perceive, photos)) == alone * 4


def test_the_version_follows_the_thresholds(monkeypatch):
    before = PhotoMini().version
    assert PhotoMini().version == before
    monkeypatch.setattr("olpipe_photo_mini.thresholds.TAG_SCORE", 0.5)
    assert PhotoMini().version != before


@pytest.mark.parametrize("network", [weights.DETECTOR, weights.CLASSIFIER], ids=lambda network: network.file)
def test_the_networks_are_the_pinned_ones(network):
    assert hashlib.sha256(network.path.read_bytes()).hexdigest() == network.sha256


def test_every_class_has_a_name_that_can_be_a_tag():
    table = labels.ClassifierLabels.read()
    classes = np.concatenate(list(table.names.values()))
    assert sorted(classes.tolist()) == list(range(1000))
    wide = [*table.kinds, *table.places, *table.families, *table.groups]
    for name in [*table.names, *wide, *labels.detector_labels()]:
        assert name == name.strip().lower()
        assert 1 < len(name) <= 30
    assert len(labels.detector_labels()) == len(set(labels.detector_labels())) == 80


def test_the_probability_of_a_label_is_the_sum_over_its_classes():
    table = labels.ClassifierLabels.read()
    found = labels.sums(np.full(1000, 0.001), table.kinds)
    assert found["zebra"] == pytest.approx(0.001)
    assert found["dog"] == pytest.approx(0.118)


def test_a_building_of_which_no_finer_name_is_sure_is_a_building(perceiver):
    evidence = perceiver.perceive(decode("temple.jpg"))
    assert evidence.tags[0].name == "building"
    assert "bird" not in [label.name for label in evidence.tags]
    assert evidence.objects == ()


def test_flowers_and_rockets_have_a_wide_name_and_cats_need_none(perceiver):
    assert perceiver.perceive(decode("flower.jpg")).tags[0].name == "plant"
    assert perceiver.perceive(decode("rocket.jpg")).tags[0].name == "rocket"
    assert "animal" not in [label.name for label in perceiver.perceive(decode("cat.jpg")).tags]


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_a_flat_frame_has_no_tags(perceiver, colour):
    pixels = np.full((300, 400, 3), colour, np.uint8)
    assert perceiver.perceive(DecodedImage(pixels, width=400, height=300)).tags == ()


def test_objects_are_surest_first_and_no_object_is_surer_than_its_tag(perceiver):
    evidence = perceiver.perceive(decode("photographer.jpg"))
    tags = {label.name: label.score for label in evidence.tags}
    scores = [thing.score for thing in evidence.objects]
    assert scores == sorted(scores, reverse=True)
    assert all(tags[thing.label] >= thing.score for thing in evidence.objects)


def test_the_context_of_a_name_is_its_groups_and_places():
    table = labels.ClassifierLabels.read()
    assert table.members("cow") < table.members("hoofed animal") < table.context("cow")
    assert table.members("toilet") < table.context("sink")
    assert not table.context("cow") & table.members("car")
    assert table.members("person") == table.context("person") == frozenset()


def test_what_the_classifier_thinks_of_a_name_makes_it_surer_or_less_sure():
    def tag(own, context):
        return chance(Sighting(0.3, 0.1, own, context).features, thresholds.TAG_WEIGHTS)

    assert tag(0.8, 0.8) > tag(None, None) > tag(0.0, 0.0)
    assert tag(0.05, 0.05) > tag(0.05, 0.9), "the classifier sees something else of the same group"


@pytest.mark.parametrize("score", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_a_chance_is_the_inverse_of_a_logit(score):
    assert chance([logit(score)], (1.0, 0.0)) == pytest.approx(score, abs=2e-4)


def test_of_equal_names_the_surest_stays():
    found = best_first([Label("cat", 0.3), Label("dog", 0.5), Label("cat", 0.9), Label("ant", 0.5)])
    assert found == (Label("cat", 0.9), Label("ant", 0.5), Label("dog", 0.5))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 8), st.data())
def test_a_crop_has_at_least_one_pixel_and_never_more_than_its_share(width, height, factor, data):
    pixels = np.zeros((height, width, 3), np.uint8)
    image = DecodedImage(pixels, width=width * factor + 1, height=height * factor + 1)
    x, y = data.draw(st.integers(0, image.width - 2)), data.draw(st.integers(0, image.height - 2))
    w, h = data.draw(st.integers(2, image.width - x)), data.draw(st.integers(2, image.height - y))
    found = crop(image, Box(x, y, w, h))
    assert 1 <= found.shape[0] <= h / factor + 2
    assert 1 <= found.shape[1] <= w / factor + 2


def test_a_box_around_everything_crops_nothing_away():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert (crop(DecodedImage(pixels, width=30, height=20), Box(0, 0, 30, 20)) == pixels).all()


@pytest.mark.parametrize(("height", "width"), [(4, 9), (9, 4), (5, 5), (1, 3)])
def test_the_centre_square_is_as_large_as_fits_and_in_the_middle(height, width):
    rows, columns = np.indices((height, width))
    square = centre_square(np.stack([rows, columns, rows], axis=-1).astype(np.uint8))
    side = min(height, width)
    assert square.shape == (side, side, 3)
    assert square[0, 0].tolist() == [(height - side) // 2, (width - side) // 2, (height - side) // 2]


def test_words_are_single_ones_of_what_the_detector_knows():
    words = PhotoMini().words()
    assert set(words) <= set(labels.detector_labels())
    assert len(words) > 70
    for name, forms in words.items():
        assert forms and all(form.isalpha() and form.islower() for form in forms)
        assert " " in name or name in forms
