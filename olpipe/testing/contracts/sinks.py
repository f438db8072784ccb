"""The contract of sinks."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from olpipe.errors import OutputUnavailable
from olpipe.interfaces import RunInfo, Sink, SinkFactory

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": {"type": "string"}}, "title": {"type": "string"}},
    "required": ["tags", "title"],
    "additionalProperties": False,
}
ROWS: tuple[Mapping[str, Any], ...] = tuple(
    {
        "file": f"{name}.jpg",
        "image": {"width": 4, "height": 3},
        "tags": ["a, b", '"c"'],
        "title": f"line\n{name} 图",
        "score": 0.5,
        "count": number,
        "none": None,
    }
    for number, name in enumerate(("one", "two", "three"))
)
FILES = ["one.jpg", "two.jpg", "three.jpg"]
FOREIGN = b"my notes\n" * 1000

DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "cut to nothing": lambda data: b"",
    "cut to its first byte": lambda data: data[:1],
    "cut to a quarter": lambda data: data[: len(data) // 4],
    "cut to half": lambda data: data[: len(data) // 2],
    "cut by its last byte": lambda data: data[:-1],
    "half of it zeros": lambda data: data[: len(data) // 2].ljust(len(data), b"\0"),
    "half of it other bytes": lambda data: data[: len(data) // 2].ljust(len(data), b"\xff"),
}
"""What a full disk or a power cut may make of a file. Its beginning stays."""


def run_info(output: Path, *, schema: Mapping[str, Any] = SCHEMA) -> RunInfo:
    """Return a run that writes to a folder, for tests of sinks."""
    return RunInfo(
        root=output.parent,
        output=output,
        schema=schema,
        recipe="photo-tags",
        recipe_key="0" * 64,
        model="photo-mini:latest",
        model_digest=f"sha256:{'0' * 64}",
    )


class SinkContract:
    """Every `SinkFactory` and its `Sink`. Give it the fixture `factory`, and write the method `read`.

    `read(target)` reads a target as its users do, without the sink. It returns the value of `file` of every row, in
    order, and `[]` where nothing is there: the rows of the contract are called `one.jpg`, `two.jpg` and `three.jpg`.

    The fixture `target` is a path below pytest's `tmp_path`. Give another one only for a sink whose targets are not
    paths. Tests that damage a file are skipped where the target is not one file.

    The rows all have the same keys, and the schema of `run` requires all of its properties.
    """

    @pytest.fixture
    def factory(self) -> SinkFactory:
        """Return the factory."""
        raise NotImplementedError

    @pytest.fixture
    def target(self, tmp_path: Path) -> str:
        """Return a target that does not exist yet."""
        return str(tmp_path / "target")

    @pytest.fixture
    def run(self, tmp_path: Path) -> RunInfo:
        """Return the run that writes."""
        output = tmp_path / "output"
        output.mkdir()
        return run_info(output)

    def read(self, target: str) -> list[str]:
        """Return the value of `file` of every row at a target, in order; an empty list where nothing is there."""
        raise NotImplementedError

    def test_it_has_a_scheme(self, factory: SinkFactory) -> None:
        """It is lower case and has no colon."""
        assert re.fullmatch("[a-z][a-z0-9+.-]*", factory.scheme)

    def test_it_has_a_usual_target(self, factory: SinkFactory) -> None:
        """That is where records go when only the scheme is given."""
        assert isinstance(factory.usual_target, str)
        assert factory.usual_target

    @pytest.mark.parametrize(
        "any_schema", [SCHEMA, {}, {"type": "object"}, {"type": "array"}, {"$ref": "#/$defs/x", "$defs": {"x": True}}]
    )
    def test_it_says_of_every_schema_whether_it_takes_its_records(
        self, factory: SinkFactory, any_schema: Mapping[str, Any]
    ) -> None:
        """The answer is None or a reason; it never raises."""
        reason = factory.accepts(any_schema)
        assert reason is None or (isinstance(reason, str) and reason.strip())

    def test_it_takes_records_whose_properties_are_all_required(self, factory: SinkFactory) -> None:
        """They all have the same keys, so every sink can take them."""
        assert factory.accepts(SCHEMA) is None

    def test_what_is_flushed_can_be_read(self, factory: SinkFactory, target: str, run: RunInfo) -> None:
        """Every row is there once, in order, while the sink is still open."""
        with opened(factory, target, run, 0) as sink:
            for row in ROWS:
                sink.write(row)
            sink.flush()
            assert self.read(target) == FILES
            sink.flush()
            assert self.read(target) == FILES

    def test_a_relative_target_lies_below_the_output_folder(self, factory: SinkFactory, run: RunInfo) -> None:
        """It does not depend on the current folder. Leave this test out for a sink whose targets are not paths."""
        self._write(factory, "below", 0, run, ROWS[0])
        assert self.read(str(run.output / "below")) == ["one.jpg"]

    def test_it_leaves_rows_as_they_are(self, factory: SinkFactory, target: str, run: RunInfo) -> None:
        """Other sinks of the run get the same rows."""
        row = copy.deepcopy(dict(ROWS[0]))
        self._write(factory, target, 0, run, row)
        assert row == ROWS[0]

    def test_the_next_run_goes_on_behind(self, factory: SinkFactory, target: str, run: RunInfo) -> None:
        """It begins at the committed position."""
        first = self._write(factory, target, 0, run, ROWS[0])
        second = self._write(factory, target, first, run, ROWS[1])
        assert second > first > 0
        assert self.read(target) == ["one.jpg", "two.jpg"]

    def test_what_lies_behind_the_committed_position_is_dropped(
        self, factory: SinkFactory, target: str, run: RunInfo
    ) -> None:
        """It will be written again."""
        first = self._write(factory, target, 0, run, ROWS[0])
        self._write(factory, target, first, run, ROWS[1])
        self._write(factory, target, first, run, ROWS[2])
        assert self.read(target) == ["one.jpg", "three.jpg"]

    def test_what_was_never_flushed_does_no_harm(self, factory: SinkFactory, target: str, run: RunInfo) -> None:
        """It makes no difference whether such rows reached the target or not."""
        first = self._write(factory, target, 0, run, ROWS[0])
        with opened(factory, target, run, first) as sink:
            sink.write(ROWS[1])
        self._write(factory, target, first, run, ROWS[2])
        assert self.read(target) == ["one.jpg", "three.jpg"]

    def test_a_torn_row_is_dropped(self, factory: SinkFactory, target: str, run: RunInfo) -> None:
        """A power cut leaves such a row."""
        first = self._write(factory, target, 0, run, ROWS[0])
        with _one_file(target).open("ab") as file:
            file.write(b'{"file":"to')
        self._write(factory, target, first, run, ROWS[1])
        assert self.read(target) == ["one.jpg", "two.jpg"]

    def test_starting_over_replaces_everything(self, factory: SinkFactory, target: str, run: RunInfo) -> None:
        """The position 0 means to start over."""
        self._write(factory, target, 0, run, ROWS[0])
        self._write(factory, target, 0, run, ROWS[1])
        assert self.read(target) == ["two.jpg"]

    def test_what_was_there_stays_until_the_first_flush(self, factory: SinkFactory, target: str, run: RunInfo) -> None:
        """A run that starts over and dies at once has destroyed nothing."""
        self._write(factory, target, 0, run, ROWS[0])
        with opened(factory, target, run, 0) as sink:
            sink.write(ROWS[1])
            assert self.read(target) == ["one.jpg"]
        assert self.read(target) == ["one.jpg"]

    def test_a_position_that_is_not_there_is_reported(
        self, factory: SinkFactory, target: str, run: RunInfo, tmp_path: Path
    ) -> None:
        """Somebody has removed or cut the target. `recover(0)` then starts it over, and everything is written again."""
        position = self._write(factory, target, 0, run, ROWS[0])
        elsewhere = str(tmp_path / "elsewhere")
        sink = factory.open(elsewhere, run)
        assert sink.recover(position) is False
        assert sink.recover(0) is True
        sink.write(ROWS[1])
        sink.flush()
        sink.close()
        assert self.read(elsewhere) == ["two.jpg"]

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_damaged_target_starts_over(self, factory: SinkFactory, target: str, run: RunInfo, damage: str) -> None:
        """A power cut or a full disk damages its own file, and the next run goes on: nobody has to delete the file.

        `recover` returns True only where the last row is still there, else False. `recover(0)` looks only at how the
        old file begins, because nothing else of it may be left, and even its beginning may be cut.
        """
        position = self._write(factory, target, 0, run, *ROWS)
        path = _one_file(target)
        damaged = DAMAGES[damage](path.read_bytes())
        # 1. As a run does that wants to go on: `recover(0)` comes to the same sink
        path.write_bytes(damaged)
        sink = factory.open(target, run)
        if sink.recover(position):
            assert self.read(target) == FILES
            sink.close()
            sink = factory.open(target, run)
        assert sink.recover(0) is True
        sink.write(ROWS[1])
        sink.flush()
        sink.close()
        assert self.read(target) == ["two.jpg"]
        # 2. As a run does whose recipe is another one
        path.write_bytes(damaged)
        self._write(factory, target, 0, run, ROWS[2])
        assert self.read(target) == ["three.jpg"]

    @pytest.mark.parametrize("tag", [b"a, b and some more", b"a"], ids=["longer", "shorter"])
    def test_a_row_that_was_changed_by_hand_is_not_cut(
        self, factory: SinkFactory, target: str, run: RunInfo, tag: bytes
    ) -> None:
        """The sink goes on behind the changed rows, or it starts over. No row is cut or glued to another."""
        position = self._write(factory, target, 0, run, *ROWS[:2])
        path = _one_file(target)
        path.write_bytes(path.read_bytes().replace(b"a, b", tag, 1))
        sink = factory.open(target, run)
        goes_on = sink.recover(position) or sink.keep(FILES[:2])
        assert goes_on or sink.recover(0) is True
        for row in ROWS[2:] if goes_on else ROWS:
            sink.write(row)
        sink.flush()
        sink.close()
        assert self.read(target) == FILES

    @pytest.mark.parametrize("begins", ["behind its rows", "anew"])
    def test_a_file_of_somebody_else_is_not_replaced(
        self, factory: SinkFactory, target: str, run: RunInfo, begins: str
    ) -> None:
        """Its target begins otherwise than the sink's own files. `recover(0)` raises `OutputUnavailable`.

        That holds even where the sink has written to the target before. The file stays as it is.
        """
        position = self._write(factory, target, 0, run, ROWS[0])
        path = _one_file(target)
        path.write_bytes(FOREIGN)
        sink = factory.open(target, run)
        try:
            assert begins == "anew" or sink.recover(position) is False
            with pytest.raises(OutputUnavailable):
                sink.recover(0)
        finally:
            sink.close()
        assert path.read_bytes() == FOREIGN

    def test_the_position_stays_where_nothing_is_written(self, factory: SinkFactory, target: str, run: RunInfo) -> None:
        """A run that writes nothing gets the position that it began at."""
        position = self._write(factory, target, 0, run, ROWS[0])
        assert self._write(factory, target, position, run) == position

    def test_a_target_that_cannot_be_written_is_refused(
        self, factory: SinkFactory, run: RunInfo, tmp_path: Path
    ) -> None:
        """The first flush reports it at the latest, with `OutputUnavailable` or the system's own error."""
        (tmp_path / "a-file").write_bytes(b"")
        with pytest.raises((OutputUnavailable, OSError)):
            self._write(factory, str(tmp_path / "a-file" / "target"), 0, run, ROWS[0])

    def _write(self, factory: SinkFactory, target: str, position: int, run: RunInfo, *rows: Mapping[str, Any]) -> int:
        """Write rows after a position and return the position after them."""
        with opened(factory, target, run, position) as sink:
            for row in rows:
                sink.write(row)
            return sink.flush()


def _one_file(target: str) -> Path:
    """Return the path of a target. The test is skipped where the target is not one file."""
    if not Path(target).is_file():
        pytest.skip("this sink's target is not one file")
    return Path(target)


@contextmanager
def opened(factory: SinkFactory, target: str, run: RunInfo, position: int) -> Iterator[Sink]:
    """Open a sink at a position that it reaches, and close it at the end."""
    sink = factory.open(target, run)
    try:
        assert sink.recover(position) is True
        yield sink
    finally:
        sink.close()
