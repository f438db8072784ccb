import pytest

from olpipe.perception.nouns import amount, plural


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


def test_amounts_are_numbers_up_to_three_and_several_above_it():
    assert [amount(count) for count in (0, 1, 2, 3, 4, 99, None)] == ["no", "one", "two", "three", *["several"] * 3]
