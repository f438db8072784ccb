import pytest

from olpipe.perception.nouns import number, plural


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dog", "dogs"),
        ("dining table", "dining tables"),
        ("person", "people"),
        ("mouse", "mice"),
        ("bench", "benches"),
        ("wine glass", "wine glasses"),
        ("bus", "buses"),
        ("scissors", "scissors"),
        ("butterfly", "butterflies"),
        ("donkey", "donkeys"),
    ],
)
def test_names_have_the_plural_that_people_use(name, expected):
    assert plural(name) == expected


def test_numbers_are_words_as_far_as_people_count_at_a_glance():
    assert [number(count) for count in (0, 1, 12, 13, 99)] == ["no", "one", "twelve", "many", "many"]
