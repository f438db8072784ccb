"""Tags that differ only in case, plural, spaces, hyphens or punctuation are the same, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.tagging.folding import folded, key, other_numbers

TEXTS = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            ["dog", "Dogs", "hot-dog", "hot dogs", "glasses", "glass", "斑马", "斑 马", "C#", "4-5", "4 5", "…"]
        ),
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dog", "dog"),
        ("dogs", "dog"),
        ("hot dog", "hot-dog"),
        ("hot dogs", "Hotdog"),
        ("dog.", "dog"),
        ("ferris wheel", "Ferris Wheels"),
        ("wine glass", "wine glasses"),
        ("sun glasses", "sunglasses"),
        ("T-shirt", "t shirts"),
        ("person", "people"),
        ("child", "children"),
        ("mouse", "mice"),
        ("leaf", "leaves"),
        ("shelf", "shelves"),
        ("bus", "buses"),
        ("lens", "lenses"),
        ("princess", "princesses"),
        ("cookie", "cookies"),
        ("selfie", "selfies"),
        ("olive", "olives"),
        ("virus", "viruses"),
        ("cactus", "cacti"),
        ("human", "humans"),
        ("ｄｏｇ", "dog"),  # as Japanese keyboards may write it
        ("スター・ウォーズ", "スターウォーズ"),
        ("斑马", "斑 马"),
        ("STRASSE", "straße"),
    ],
)
def test_tags_that_say_the_same_are_the_same(one, other):
    assert key(one, english=True) == key(other, english=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("glass", "glasses"),
        ("jean", "jeans"),
        ("new", "news"),
        ("short", "shorts"),
        ("wood", "woods"),
        ("cloth", "clothes"),
        ("ferris wheel", "ferris"),
        ("ferris wheel", "wheel"),
        ("prince", "princess"),
        ("bus", "bu"),
        ("bra", "brass"),
        ("C", "C#"),
        ("C", "C++"),
        ("4-5", "45"),
        ("4 5", "45"),
        ("3.5", "35"),
        ("café", "cafe"),
        ("斑马", "马"),
        ("собаки", "собака"),
        ("building", "build"),
        ("🐕", "🐈"),
    ],
)
def test_tags_that_say_something_else_stay_apart(one, other):
    assert key(one, english=True) != key(other, english=True)


@pytest.mark.parametrize("word", ["glasses", "bus", "scissors", "jeans", "news", "series", "species", "bass", "tennis"])
def test_a_word_that_only_looks_like_a_plural_is_shown_as_it_is(word):
    assert folded([word], english=True) == [word]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["cat", "Sofa", " cat", "sofa", "", "ferris wheel", "斑马"], ["cat", "Sofa", "ferris wheel", "斑马"]),
        (["Dogs", "dog", "hot-dogs", "Hotdog"], ["Dogs", "hot-dogs"]),
        (["...", "-", "。", "dog"], ["dog"]),
        (["red panda", "panda", "red"], ["red panda", "panda", "red"]),
    ],
)
def test_the_first_of_equal_tags_stays_as_it_is(tags, expected):
    assert folded(tags, english=True) == expected


def test_only_english_tags_lose_their_number():
    assert folded(["Autos", "Auto", "autos"], english=False) == ["Autos", "Auto"]


@given(TEXTS, st.booleans())
def test_folding_invents_nothing_keeps_the_order_and_does_nothing_twice(tags, english):
    once = folded(tags, english=english)
    assert folded(once, english=english) == once
    left = iter([tag.strip() for tag in tags])
    assert all(tag in left for tag in once)  # each is found behind the one before
    assert {key(tag, english=english) for tag in once} == {key(tag, english=english) for tag in tags} - {""}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dog", ["dogs"]),
        ("Dogs", ["dog"]),
        ("hot dogs", ["hotdog"]),
        ("glass", []),
        ("glasses", []),
        ("wine glass", ["wineglasses"]),
        ("斑马", []),
        ("TV", []),
    ],
)
def test_a_name_has_its_other_number_where_that_means_the_same(name, expected):
    assert other_numbers(name) == expected
