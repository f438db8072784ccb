import pytest

from olpipe.image import Box
from olpipe.perception.prompt import describe
from olpipe.record import Detection, Evidence, Label

DOG_LEFT = Detection("dog", 0.9, Box(0, 0, 200, 300))
DOG_RIGHT = Detection("dog", 0.8, Box(700, 0, 200, 300))
TOILET = Detection("toilet", 0.95, Box(0, 0, 100, 100))


def test_things_are_counted_placed_and_ordered_by_the_area_they_fill():
    assert describe(Evidence((TOILET, DOG_LEFT, DOG_RIGHT)), 900, 600) == "photo: two dogs (center), toilet (left)"


def test_tags_that_have_no_box_follow_without_a_place():
    tags = (Label("dog", 0.9), Label("pug", 0.6), Label("bathroom", 0.6))
    assert describe(Evidence((DOG_LEFT,), tags), 900, 600) == "photo: dog (left), pug, bathroom"


def test_a_photo_with_nothing_recognised_says_so():
    assert describe(Evidence(), 900, 600) == "photo: nothing recognised"


@pytest.mark.parametrize(("x", "place"), [(0, "left"), (299, "left"), (300, "center"), (600, "center"), (601, "right")])
def test_a_place_is_the_third_of_the_photo_that_holds_the_middle(x, place):
    assert describe(Evidence((Detection("cup", 0.7, Box(x, 0, 2, 20)),)), 903, 2) == f"photo: cup ({place})"


def test_a_thing_that_ends_at_the_right_edge_is_on_the_right():
    assert describe(Evidence((Detection("cup", 0.7, Box(900, 0, 2, 20)),)), 901, 2) == "photo: cup (right)"


def test_things_of_equal_area_are_ordered_by_name():
    cup, bowl = Detection("cup", 0.9, Box(0, 0, 9, 9)), Detection("bowl", 0.6, Box(0, 0, 9, 9))
    assert describe(Evidence((cup, bowl)), 27, 27) == "photo: bowl (left), cup (left)"


@pytest.mark.parametrize(
    ("side", "said"),
    [(9, "small cup (left)"), (10, "cup (left)"), (54, "cup (left)"), (55, "cup close up (left)")],
    ids=["0.8 %", "1 %", "29 %", "30.3 %"],
)
def test_sizes_are_said_where_they_stand_out(side, said):
    assert describe(Evidence((Detection("cup", 0.7, Box(0, 0, side, side)),)), 100, 100) == f"photo: {said}"


def test_many_small_things_together_are_not_small():
    cups = tuple(Detection("cup", 0.7, Box(at, 0, 9, 9)) for at in (0, 10))
    assert describe(Evidence(cups), 100, 100) == "photo: two cups (left)"


def test_names_that_are_not_sure_are_given_with_a_maybe():
    cat, cats = Detection("cat", 0.59, Box(0, 0, 20, 20)), Detection("cat", 0.6, Box(0, 0, 20, 20))
    assert describe(Evidence((cat,), (Label("cup", 0.2),)), 100, 100) == "photo: maybe cat (left), maybe cup"
    assert describe(Evidence((cat, cats)), 100, 100) == "photo: cat (left)"


def test_a_number_stands_before_the_size_and_the_plural_behind_it():
    people = tuple(Detection("person", 0.3, Box(10 * at, 0, 1, 2)) for at in range(14))
    assert describe(Evidence(people), 150, 100) == "photo: maybe several small people (center)"
    assert describe(Evidence(people[:2]), 150, 100) == "photo: maybe two small people (left)"


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((0.9,), "bird (left)"),
        ((0.9, 0.6), "two birds (left)"),
        ((0.9, 0.8, 0.6), "three birds (left)"),
        ((0.9, 0.8, 0.7, 0.6), "several birds (left)"),
        ((0.9, 0.3), "bird (left)"),
        ((0.9, 0.3, 0.3), "bird (left)"),
        ((0.9, 0.3, 0.3, 0.3), "several birds (left)"),
        ((0.9, 0.8, 0.3), "several birds (left)"),
        ((0.3, 0.3), "maybe two birds (left)"),
    ],
)
def test_numbers_are_said_as_far_as_the_scores_bear_them(scores, said):
    birds = tuple(Detection("bird", score, Box(0, 0, 15, 15)) for score in scores)
    assert describe(Evidence(birds), 100, 100) == f"photo: {said}"


def test_a_finer_name_of_a_thing_with_a_box_is_no_second_thing():
    cat = Detection("cat", 0.9, Box(0, 0, 50, 50), ("egyptian cat", "kitten"))
    tags = (Label("cat", 0.9), Label("egyptian cat", 0.8), Label("sofa", 0.7))
    assert describe(Evidence((cat,), tags), 100, 100) == "photo: cat (left), sofa"


def test_small_things_follow_what_the_whole_photo_shows():
    person, tags = Detection("person", 0.9, Box(90, 0, 5, 9)), (Label("airliner", 0.95), Label("person", 0.9))
    assert describe(Evidence((person,), tags), 100, 100) == "photo: airliner, small person (right)"
