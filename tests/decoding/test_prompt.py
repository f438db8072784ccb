"""What each position of a prompt shows, and what prompts may share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.decoding.prompt import NARROWEST, PlacedImage, Prompt, shareable

PLACEHOLDER = 9


def photo_prompt(digest, *, before=(1, 2), places=4, behind=(3, 4, 5)):
    """Return a prompt that shows one image; all images look alike among its tokens."""
    tokens = (*before, *[PLACEHOLDER] * places, *behind)
    return Prompt(tokens, (PlacedImage(len(before), places, digest),))


@st.composite
def prompts(draw):
    """Draw prompts of few tokens and few images, so that many begin alike."""
    tokens, images = [], []
    for _ in range(draw(st.integers(0, 3))):
        tokens += draw(st.lists(st.integers(0, 2), max_size=3))
        places = draw(st.integers(0, 3))
        if places:
            images.append(PlacedImage(len(tokens), places, draw(st.sampled_from("ab"))))
            tokens += [PLACEHOLDER] * places
    return Prompt(tuple(tokens), tuple(images))


def shown(prompt):
    """Say what each position shows, image by image and in the plainest way."""
    covered = {}
    for image in prompt.images:
        for place in range(image.length):
            covered[image.start + place] = f"{image.digest}{place}"
    return [covered.get(at, token) for at, token in enumerate(prompt.tokens)]


def test_without_images_the_identity_is_the_tokens():
    assert Prompt((5, 6, 7)).identity == (5, 6, 7)


def test_under_an_image_the_identity_is_its_digest_with_the_place_in_it():
    prompt = photo_prompt("sea", places=2, behind=(3,))
    assert prompt.tokens == (1, 2, PLACEHOLDER, PLACEHOLDER, 3)
    assert prompt.identity == (1, 2, ("sea", 0), ("sea", 1), 3)


def test_two_photos_with_equal_placeholders_share_nothing_from_the_photo_on():
    sea, street = photo_prompt("sea"), photo_prompt("street")
    assert sea.tokens == street.tokens
    assert shareable(sea.identity, street.identity) == 2
    assert shareable(street.identity, sea.identity) == 2


def test_the_same_photo_is_shared_with_its_question_up_to_the_narrowest_rest():
    one, other = photo_prompt("sea", behind=(3, 4, 5)), photo_prompt("sea", behind=(3, 6, 7))
    assert shareable(one.identity, other.identity) == 2 + 4 + 1
    assert shareable(one.identity, one.identity) == len(one) - NARROWEST


def test_a_photo_at_another_place_is_another_position():
    early, late = photo_prompt("sea", before=(1,)), photo_prompt("sea", before=(1, 1))
    assert shareable(early.identity, late.identity) == 1


def test_the_second_photo_decides_where_the_first_is_the_same():
    def album(second):
        images = (PlacedImage(1, 2, "sea"), PlacedImage(4, 2, second))
        return Prompt((1, 9, 9, 2, 9, 9, 3, 4), images)

    assert shareable(album("street").identity, album("dog").identity) == 4


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (3, 3), (5, 1), (0, 6), (2, 0)])
def test_an_image_outside_its_prompt_is_the_callers_mistake(start, length):
    with pytest.raises(ValueError, match="an image lies outside its prompt"):
        Prompt((1, 2, 3, 4, 5), (PlacedImage(start, length, "sea"),))


@pytest.mark.parametrize(("start", "length"), [(0, 1), (0, 5), (4, 1)])
def test_an_image_may_stand_at_either_end(start, length):
    prompt = Prompt((1, 2, 3, 4, 5), (PlacedImage(start, length, "sea"),))
    assert sum(isinstance(item, tuple) for item in prompt.identity) == length


def test_a_beginning_keeps_whole_images_with_their_features():
    features = {"pixels": np.ones((4, 3), np.float32)}
    prompt = Prompt((1, 9, 9, 9, 9, 2), (PlacedImage(1, 4, "sea", features),))
    (image,) = prompt.beginning(5).images
    assert (image.start, image.length, image.digest) == (1, 4, "sea")
    assert image.features is features


@pytest.mark.parametrize("length", [2, 3, 4])
def test_a_beginning_never_cuts_an_image(length):
    prompt = Prompt((1, 9, 9, 9, 9, 2), (PlacedImage(1, 4, "sea"),))
    assert prompt.whole(length) == 1
    with pytest.raises(ValueError, match=f"position {length} lies within an image"):
        prompt.beginning(length)


def test_a_beginning_before_the_image_has_none():
    assert photo_prompt("sea").beginning(2).images == ()


def test_more_text_behind_leaves_the_images_where_they_are():
    prompt = photo_prompt("sea", behind=())
    longer = prompt.followed_by([7, 8])
    assert longer.tokens == (*prompt.tokens, 7, 8)
    assert longer.identity == (*prompt.identity, 7, 8)
    assert longer.images == prompt.images
    assert prompt.followed_by(()) is prompt


@given(prompts())
def test_the_identity_tells_what_each_position_shows(prompt):
    assert len(prompt) == len(prompt.identity) == len(prompt.tokens)
    assert [item if isinstance(item, int) else f"{item[0]}{item[1]}" for item in prompt.identity] == shown(prompt)


@given(prompts(), st.integers(0, 12))
def test_a_beginning_shows_what_the_whole_prompt_begins_with(prompt, length):
    length = prompt.whole(length)
    assert prompt.beginning(length).identity == prompt.identity[:length]


@given(prompts(), st.lists(st.integers(0, 2), max_size=4))
def test_what_follows_changes_nothing_before_it(prompt, tokens):
    longer = prompt.followed_by(tokens)
    assert longer.beginning(len(prompt)).identity == prompt.identity
    assert longer.identity[len(prompt) :] == tuple(tokens)


@given(prompts(), prompts())
def test_prompts_share_the_longest_beginning_that_shows_the_same(one, other):
    both = list(zip(one.identity, other.identity, strict=False))
    alike = next((at for at, (mine, theirs) in enumerate(both) if mine != theirs), len(both))
    assert shareable(one.identity, other.identity) == one.whole(max(0, min(alike, len(one) - NARROWEST)))


def test_text_counts_on_from_the_largest_position_of_an_image():
    rotary = np.array([[0] * 6, [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]])
    prompt = Prompt((1, 1, *[9] * 6, 2, 2), (PlacedImage(2, 6, "sea", rotary=rotary),))
    time, row, column = prompt.rotary_positions().tolist()
    assert time == [0, 1, 2, 2, 2, 2, 2, 2, 5, 6]
    assert row == [0, 1, 2, 2, 2, 3, 3, 3, 5, 6]
    assert column == [0, 1, 2, 3, 4, 2, 3, 4, 5, 6]


@given(prompts())
def test_without_positions_of_images_each_token_has_its_own(prompt):
    assert (prompt.rotary_positions() == np.arange(len(prompt))).all()
