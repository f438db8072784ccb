"""A sink that breaks its word is told in one line, with its name and its plugin's. The ledger keeps all rows."""

import pytest

from olpipe.errors import PluginError
from olpipe.interfaces import RunInfo, Sink, SinkFactory
from olpipe.pipeline.ledger import Ledger
from olpipe.pipeline.outlets import choose_places, open_outlets
from olpipe.pipeline.write import Writer
from olpipe.registry import Registry


class Rows(Sink):
    """Keeps rows in the list of its factory, and returns what the factory says instead of what it should."""

    def __init__(self, factory):
        self.factory, self.rows = factory, factory.rows

    def recover(self, position):
        if position <= len(self.rows):
            del self.rows[position:]
            return self.factory.returned("recover", position, True)
        return self.factory.returned("recover", position, False)

    def write(self, row):
        self.rows.append(row["file"])

    def flush(self):
        return self.factory.returned("flush", len(self.rows), len(self.rows))

    def changed_photos(self):
        return self.factory.returned("changed_photos", "any", ())

    def close(self):
        pass


class RowsFactory(SinkFactory):
    scheme, usual_target = "rows", "rows"

    def __init__(self):
        self.rows, self.instead = [], {}

    def returned(self, call, value, usual):
        """Return what a call returns instead of its usual answer, given its argument or what it should return."""
        return self.instead.get((call, value), self.instead.get((call, "any"), usual))

    def accepts(self, schema):
        return self.returned("accepts", "any", None)

    def open(self, target, run):
        return self.returned("open", "any", Rows(self))


@pytest.fixture
def factory():
    return RowsFactory()


@pytest.fixture
def run(folder, factory):
    """Return a function that brings the sink up to date as a run does, and returns its position in the ledger."""
    sinks = Registry("sink", SinkFactory, key="scheme")
    sinks.register(factory, "clumsy")
    output = folder.output
    info = RunInfo(folder.photos, output, {}, recipe="r", recipe_key="k1", model="m", model_digest="sha256:0")

    def run():
        places = choose_places(["rows"], {}, output, sinks)[:1]
        with Ledger(output) as ledger:
            ledger.begin("k1", {str(place): place.kind for place in places})
            with Writer(ledger, open_outlets(places, info, sinks)) as writer:
                writer.start()
            return ledger.state("rows:rows").position

    return run


def describe(folder, *names):
    for name in names:
        folder.put(name)
    folder.describe()


def message(caught):
    assert caught.value.hint == "run again with OLPIPE_DEBUG=1 to see where"
    return caught.value.message.removeprefix("the sink `rows` of the plugin `clumsy` failed: ")


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (0, "ValueError: `flush` returned 0 after rows were written, and a position above 0 is expected"),
        (-1, "ValueError: `flush` returned -1 after rows were written, and a position above 0 is expected"),
        (None, "TypeError: `flush` returned None, and a whole number is expected"),
        (True, "TypeError: `flush` returned True, and a whole number is expected"),
        (2.0, "TypeError: `flush` returned 2.0, and a whole number is expected"),
        (2**63, "ValueError: `flush` returned 9223372036854775808, and a position below 2**63 is expected"),
    ],
)
def test_a_position_that_cannot_be_one_is_told(folder, factory, run, position, reason):
    describe(folder, "a.jpg", "b.jpg")
    factory.instead = {("flush", "any"): position}
    with pytest.raises(PluginError) as caught:
        run()
    assert message(caught) == reason
    factory.instead = {}
    assert run() == 2
    assert factory.rows == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("changed", [None, "a.jpg", [1]])
def test_a_sink_that_does_not_name_the_photos_that_it_has_changed_is_told(folder, factory, run, changed):
    describe(folder, "a.jpg")
    factory.instead = {("changed_photos", "any"): changed}
    with pytest.raises(PluginError) as caught:
        run()
    assert message(caught) == f"TypeError: `changed_photos` returned {changed!r}, and the names of photos are expected"
    factory.instead = {}
    assert run() == 1
    assert factory.rows == ["a.jpg"]


@pytest.mark.parametrize("position", [1, 2])
def test_a_position_that_does_not_grow_is_told(folder, factory, run, position):
    describe(folder, "a.jpg", "b.jpg")
    assert run() == 2
    describe(folder, "c.jpg")
    factory.instead = {("flush", "any"): position}
    with pytest.raises(PluginError) as caught:
        run()
    assert message(caught) == (
        f"ValueError: `flush` returned {position} after rows were written, and a position above 2 is expected"
    )
    factory.instead = {}
    assert run() == 3
    assert factory.rows == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_negative_position_is_told_even_where_no_row_was_written(factory, run):
    factory.instead = {("flush", "any"): -1}
    with pytest.raises(PluginError) as caught:
        run()
    assert message(caught) == "ValueError: `flush` returned -1, and a position of 0 or more is expected"


def test_without_rows_a_position_may_be_0(factory, run):
    assert run() == 0
    assert factory.rows == []


@pytest.mark.parametrize(
    ("position", "returned", "reason"),
    [
        (0, None, "TypeError: `recover(0)` returned None, and True or False is expected"),
        (0, 1, "TypeError: `recover(0)` returned 1, and True or False is expected"),
        (1, None, "TypeError: `recover(1)` returned None, and True or False is expected"),
        (0, False, "ValueError: `recover(0)` returned False, and a target can always start over"),
    ],
)
def test_a_sink_that_does_not_say_whether_it_reached_a_position_is_told(
    folder, factory, run, position, returned, reason
):
    describe(folder, "a.jpg")
    if position:
        assert run() == 1
    factory.instead = {("recover", position): returned}
    with pytest.raises(PluginError) as caught:
        run()
    assert message(caught) == reason
    factory.instead = {}
    assert run() == 1
    assert factory.rows == ["a.jpg"]


@pytest.mark.parametrize(
    ("call", "returned", "reason"),
    [
        ("open", None, "TypeError: it opened a NoneType where a sink is expected"),
        ("open", "rows", "TypeError: it opened a str where a sink is expected"),
        ("accepts", False, "TypeError: `accepts` returned False, and None or a reason is expected"),
        ("accepts", "", "TypeError: `accepts` returned '', and None or a reason is expected"),
    ],
)
def test_a_factory_that_returns_something_else_is_told(folder, factory, run, call, returned, reason):
    describe(folder, "a.jpg")
    factory.instead = {(call, "any"): returned}
    with pytest.raises(PluginError) as caught:
        run()
    assert message(caught) == reason
    assert factory.rows == []
