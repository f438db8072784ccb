"""Registries: things by name, each remembered with the plugin that brought it."""

from __future__ import annotations

import pytest

from olpipe.errors import PluginError, UnknownName, UsageError
from olpipe.registry import NameTaken, Registry


class Shape:
    def __init__(self, name: object) -> None:
        self.name = name


class Square(Shape):
    """A kind of shape."""


class Coloured(Shape):
    def __init__(self, colour: str) -> None:
        self.colour = colour


@pytest.fixture
def shapes():
    """A registry with three shapes of two plugins."""
    registry = Registry("shape", Shape)
    for name, plugin in [("circle", "round"), ("square", "straight"), ("ring", "round")]:
        registry.register(Shape(name), plugin)
    return registry


def test_things_come_in_the_order_they_were_registered(shapes):
    assert shapes.names() == ("circle", "square", "ring")
    assert [shape.name for shape in shapes] == ["circle", "square", "ring"]
    assert (len(shapes), "ring" in shapes, "cube" in shapes) == (3, True, False)


def test_a_thing_is_found_by_its_name(shapes):
    square = Square("cube")
    shapes.register(square, "straight")
    assert shapes.get("cube") is square


def test_the_plugin_of_a_thing_is_known(shapes):
    assert shapes.from_plugin("round") == ("circle", "ring")
    assert shapes.from_plugin("other") == ()


def test_what_a_plugin_brought_can_be_forgotten(shapes):
    shapes.discard("round")
    assert shapes.names() == ("square",)
    shapes.register(Shape("circle"), "other")
    assert shapes.from_plugin("other") == ("circle",)


def test_things_can_go_by_another_attribute_than_their_name():
    registry = Registry("shape", Shape, key="colour")
    registry.register(Coloured("red"), "paint")
    assert registry.names() == ("red",)


class Cut(Shape):
    """A shape that declares more than its name."""

    sides: int = 4
    labels: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sides": "many"}, "plugin `bad` registered a shape whose `sides` is 'many', not a whole number"),
        ({"sides": True}, "plugin `bad` registered a shape whose `sides` is True, not a whole number"),
        ({"sides": None}, "plugin `bad` registered a shape without a `sides`"),
        ({"labels": "red"}, "plugin `bad` registered a shape whose `labels` is 'red', not a tuple of texts"),
        ({"labels": (1,)}, "plugin `bad` registered a shape whose `labels` is (1,), not a tuple of texts"),
    ],
)
def test_what_an_interface_declares_is_checked(change, message):
    registry = Registry("shape", Cut)
    cut = Cut("cut")
    vars(cut).update(change)
    with pytest.raises(PluginError) as caught:
        registry.register(cut, "bad")
    assert caught.value.message == message
    assert len(registry) == 0


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, "plugin `bad` registered a int where a shape is expected"),
        (Shape, "plugin `bad` registered a class where a shape is expected: write `Shape()`"),
        (Shape(""), "plugin `bad` registered a shape without a `name`"),
        (Shape(None), "plugin `bad` registered a shape without a `name`"),
        (Shape(2), "plugin `bad` registered a shape whose `name` is 2, not a text"),
        (
            Shape("My ring, v2"),
            "plugin `bad` registered a shape called `My ring, v2`; "
            "such names are lower-case letters, digits, `-`, `_` and `.`",
        ),
        (Coloured("red"), "plugin `bad` registered a shape without a `name`"),
        (Shape("circle"), "plugins `round` and `bad` both register the shape `circle`"),
    ],
)
def test_what_breaks_the_contract_is_refused_with_the_plugins_name(shapes, thing, message):
    with pytest.raises(PluginError) as caught:
        shapes.register(thing, "bad")
    assert caught.value.message == message
    assert shapes.names() == ("circle", "square", "ring")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("circel", "did you mean `circle`?"),
        ("zzz", "known: circle, square, ring"),
    ],
)
def test_a_name_that_nothing_has_is_answered_with_those_there_are(shapes, name, hint):
    with pytest.raises(UnknownName) as caught:
        shapes.get(name)
    assert (caught.value.message, caught.value.hint) == (f"no shape is called `{name}`", hint)


def test_an_empty_registry_says_that_nothing_brings_such_things():
    with pytest.raises(UnknownName) as caught:
        Registry("shape", Shape).get("circle")
    assert caught.value.hint == "no plugin brings one"


class Numbered:
    name: str
    version: str
    colour: str = "none"
    size: int

    def __init__(self, **texts: object) -> None:
        vars(self).update(texts)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ({"name": "one"}, "thing without a `version`"),
        ({"name": "one", "version": 1}, "thing whose `version` is 1, not a text"),
        ({"version": "1"}, "thing without a `name`"),
    ],
)
def test_a_thing_without_a_text_that_its_interface_declares_is_refused(texts, problem):
    registry = Registry("thing", Numbered)
    with pytest.raises(PluginError) as caught:
        registry.register(Numbered(**texts), "bad")
    assert caught.value.message == f"plugin `bad` registered a {problem}"
    registry.register(Numbered(name="one", version="1"), "good")
    assert registry.names() == ("one",)


class Noted(Shape):
    note: str = ""


def test_a_text_that_may_be_empty_by_its_interface_may_be_empty():
    registry = Registry("shape", Noted)
    registry.register(Noted("ring"), "good")
    assert registry.names() == ("ring",)


def test_titles_may_have_capitals_and_spaces():
    registry = Registry("shape", Shape, titles=True)
    for title in ("Ring 1.5", "R", "a-b_c"):
        registry.register(Shape(title), "good")
    assert registry.names() == ("Ring 1.5", "R", "a-b_c")


@pytest.mark.parametrize("title", ["My ring, v2", " Ring", "Ring ", "-ring", "Ring\n2"])
def test_titles_that_cannot_be_shown_in_a_list_are_refused(title):
    with pytest.raises(PluginError, match=r"such names are letters, digits, spaces, `-`, `_` and `\.`"):
        Registry("shape", Shape, titles=True).register(Shape(title), "bad")


def test_a_registry_can_be_rebuilt_in_another_order_and_with_other_things(shapes):
    circle, square, _ = shapes
    cube = Square("cube")
    shapes.rebuild([(square, "straight"), (cube, "other"), (circle, "round")])
    assert shapes.names() == ("square", "cube", "circle")
    assert [shapes.plugin_of(name) for name in shapes.names()] == ["straight", "other", "round"]


@pytest.mark.parametrize("thing", [3, Shape("circle")])
def test_a_rebuilding_that_breaks_the_contract_changes_nothing(shapes, thing):
    circle = shapes.get("circle")
    with pytest.raises(PluginError):
        shapes.rebuild([(circle, "round"), (thing, "bad")])
    assert shapes.names() == ("circle", "square", "ring")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no luck\nat all"), "ValueError: no luck"),
        (KeyError(), "KeyError: KeyError"),
        (OSError(2, "No such file"), "FileNotFoundError: No such file"),
    ],
)
def test_what_fails_in_a_thing_is_told_with_its_name_and_its_plugin(shapes, error, reason):
    with pytest.raises(PluginError) as caught, shapes.blaming("ring"):
        raise error
    assert caught.value.message == f"the shape `ring` of the plugin `round` failed: {reason}"
    assert caught.value.hint == "run again with OLPIPE_DEBUG=1 to see where"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [UsageError("wrong"), OSError("full"), KeyboardInterrupt()])
def test_errors_of_ours_and_those_that_are_let_through_stay_what_they_are(shapes, error):
    with pytest.raises(type(error)) as caught, shapes.blaming("ring", but=(OSError,)):
        raise error
    assert caught.value is error


def test_a_fault_is_told_with_the_name_and_the_plugin(shapes):
    error = shapes.fault("ring", "`draw` gave 5 where a text is expected")
    assert error.message == "the shape `ring` of the plugin `round` failed: `draw` gave 5 where a text is expected"


def test_a_name_that_is_taken_is_told_with_the_plugin_that_has_it(shapes):
    with pytest.raises(NameTaken) as caught:
        shapes.register(Shape("ring"), "other")
    assert caught.value.by == "round"


@pytest.mark.parametrize(
    ("name", "hint"), [("zzz", "known: circle, square, ring; more"), ("rin", "did you mean `ring`?")]
)
def test_a_hint_tells_of_plugins_that_may_have_brought_what_is_missing(shapes, name, hint):
    shapes.not_loaded = "; more"
    with pytest.raises(UnknownName) as caught:
        shapes.get(name)
    assert caught.value.hint == hint
