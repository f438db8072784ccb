import pytest

from olpipe.image import Box
from olpipe.perception.prompt import describe
from olpipe.record import Detection, Evidence, Label

DOG_LEFT = Detection("dog", 0.9, Box(0, 0, 300, 300))
DOG_RIGHT = Detection("dog", 0.8, Box(600, 0, 300, 300))
TOILET = Detection("toilet", 0.95, Box(0, 0, 100, 100))


def test_things_are_counted_placed_and_ordered_by_the_area_they_fill():
    assert describe(Evidence((TOILET, DOG_LEFT, DOG_RIGHT)), 900) == "photo: dog x2 (center), toilet (left)"


def test_tags_that_have_no_box_follow_without_a_place():
    tags = (Label("dog", 0.9), Label("pug", 0.5), Label("bathroom", 0.4))
    assert describe(Evidence((DOG_LEFT,), tags), 900) == "photo: dog (left), pug, bathroom"


def test_a_photo_with_nothing_recognised_says_so():
    assert describe(Evidence(), 900) == "photo: nothing recognised"


@pytest.mark.parametrize(("x", "place"), [(0, "left"), (299, "left"), (300, "center"), (600, "center"), (601, "right")])
def test_a_place_is_the_third_of_the_photo_that_holds_the_middle(x, place):
    assert describe(Evidence((Detection("cup", 0.5, Box(x, 0, 2, 2)),)), 903) == f"photo: cup ({place})"


def test_a_thing_that_ends_at_the_right_edge_is_on_the_right():
    assert describe(Evidence((Detection("cup", 0.5, Box(900, 0, 2, 2)),)), 901) == "photo: cup (right)"


def test_things_of_equal_area_are_ordered_by_name():
    cup, bowl = Detection("cup", 0.9, Box(0, 0, 9, 9)), Detection("bowl", 0.2, Box(0, 0, 9, 9))
    assert describe(Evidence((cup, bowl)), 27) == "photo: bowl (left), cup (left)"
