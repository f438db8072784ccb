"""The contracts of tasks, sinks and executors."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from olpipe.errors import BackendCrashed, OutputUnavailable
from olpipe.generation import Completion, FinishReason, Timings, Usage
from olpipe.image import ImageFile, ImageRef
from olpipe.interfaces import Executor, Job, RunInfo, Session, Sink, SinkFactory, Task, TaskContext
from olpipe.record import Failure, FailureKind, ImageInfo, Outcome, Record
from olpipe.testing.documents import smallest
from olpipe.testing.images import decoded

ROWS: tuple[Mapping[str, Any], ...] = tuple(
    {"file": f"{name}.jpg", "tags": ["a, b", '"c"'], "title": f"line\n{name} 图", "count": number, "none": None}
    for number, name in enumerate(("one", "two", "three"))
)
RUN = RunInfo("recipe", "key")
SCHEMA = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}}
RECORD_KEYS = {"file", "sha256", "image", "box_unit", "model", "model_digest", "recipe", "usage", "truncated"}


class TaskContract:
    """Every `Task`. Give it the fixture `task`.

    Attributes:
        schema: A schema the task can be given.
    """

    schema: Mapping[str, Any] = SCHEMA

    @pytest.fixture
    def task(self) -> Task:
        """Return the task."""
        raise NotImplementedError

    @pytest.fixture
    def context(self) -> TaskContext:
        """Return what a recipe says."""
        return TaskContext("the-model", "What is in the photo?", self.schema, examples=(("dog", '{"tags":["dog"]}'),))

    def test_it_has_a_name_and_a_version(self, task: Task) -> None:
        """Both are part of every recipe's key."""
        assert task.name
        assert task.version

    def test_it_asks_the_model_of_the_recipe_about_the_photo(self, task: Task, context: TaskContext) -> None:
        """With the recipe's prompt, and the photo in the message that is to be answered."""
        image = decoded()
        request = task.build(image, context)
        assert request.model == "the-model"
        assert request.sampling == context.sampling
        assert request.messages[-1].role == "user"
        assert request.messages[-1].images == (image,)
        assert any(context.prompt in message.text for message in request.messages)

    def test_the_same_photo_gives_the_same_request(self, task: Task, context: TaskContext) -> None:
        """A record is a function of photo and recipe."""
        image = decoded()
        assert task.build(image, context) == task.build(image, context)

    def test_its_values_are_json_and_leave_the_records_own_keys_alone(self, task: Task) -> None:
        """They stand beside `file`, `sha256` and the like."""
        values = task.parse(_said(json.dumps(smallest(self.schema))), decoded())
        assert json.loads(json.dumps(values)) == values
        assert not RECORD_KEYS & set(values)


class SinkContract:
    """Every `SinkFactory` and its `Sink`. Give it the fixtures `factory` and `target`, and write `read`."""

    @pytest.fixture
    def factory(self) -> SinkFactory:
        """Return the factory."""
        raise NotImplementedError

    @pytest.fixture
    def target(self, tmp_path: Path) -> str:
        """Return a target that does not exist yet."""
        return str(tmp_path / "target")

    def read(self, target: str) -> list[str]:
        """Return the field `file` of every row that a reader finds at the target."""
        raise NotImplementedError

    def test_it_has_a_scheme(self, factory: SinkFactory) -> None:
        """Lower case, without the colon."""
        assert re.fullmatch("[a-z][a-z0-9+.-]*", factory.scheme)

    def test_what_is_flushed_can_be_read(self, factory: SinkFactory, target: str) -> None:
        """While the sink is still open."""
        with _opened(factory, target, 0) as sink:
            for row in ROWS:
                sink.write(row)
            sink.flush()
            assert self.read(target) == ["one.jpg", "two.jpg", "three.jpg"]

    def test_the_next_run_goes_on_behind(self, factory: SinkFactory, target: str) -> None:
        """From the committed position."""
        first = self._write(factory, target, 0, ROWS[0])
        second = self._write(factory, target, first, ROWS[1])
        assert second > first > 0
        assert self.read(target) == ["one.jpg", "two.jpg"]

    def test_what_lies_behind_the_committed_position_is_dropped(self, factory: SinkFactory, target: str) -> None:
        """It will be written again."""
        first = self._write(factory, target, 0, ROWS[0])
        self._write(factory, target, first, ROWS[1])
        self._write(factory, target, first, ROWS[2])
        assert self.read(target) == ["one.jpg", "three.jpg"]

    def test_what_was_never_flushed_does_no_harm(self, factory: SinkFactory, target: str) -> None:
        """Whether it reached the target or not."""
        first = self._write(factory, target, 0, ROWS[0])
        with _opened(factory, target, first) as sink:
            sink.write(ROWS[1])
        self._write(factory, target, first, ROWS[2])
        assert self.read(target) == ["one.jpg", "three.jpg"]

    def test_a_torn_row_is_dropped(self, factory: SinkFactory, target: str) -> None:
        """As a power cut leaves it."""
        first = self._write(factory, target, 0, ROWS[0])
        if not Path(target).is_file():
            pytest.skip("this sink's target is not one file")
        with Path(target).open("ab") as file:
            file.write(b'{"file":"to')
        self._write(factory, target, first, ROWS[1])
        assert self.read(target) == ["one.jpg", "two.jpg"]

    def test_recovering_to_the_start_drops_everything(self, factory: SinkFactory, target: str) -> None:
        """Position 0 is that of a sink that was never flushed."""
        self._write(factory, target, 0, ROWS[0])
        self._write(factory, target, 0, ROWS[1])
        assert self.read(target) == ["two.jpg"]

    def test_a_position_that_is_not_there_is_reported(self, factory: SinkFactory, target: str, tmp_path: Path) -> None:
        """Somebody removed or cut what was written; then all of it is written again."""
        position = self._write(factory, target, 0, ROWS[0])
        sink = factory.open(str(tmp_path / "elsewhere"), RUN)
        assert sink.recover(position) is False
        assert sink.recover(0) is True
        sink.close()

    def test_the_position_stays_where_nothing_is_written(self, factory: SinkFactory, target: str) -> None:
        """Across runs, too."""
        position = self._write(factory, target, 0, ROWS[0])
        assert self._write(factory, target, position) == position

    def test_a_target_that_cannot_be_written_is_refused(self, factory: SinkFactory, tmp_path: Path) -> None:
        """By the first flush at the latest, with its own error or the system's."""
        (tmp_path / "a-file").write_bytes(b"")
        with pytest.raises((OutputUnavailable, OSError)):
            self._write(factory, str(tmp_path / "a-file" / "target"), 0, ROWS[0])

    def _write(self, factory: SinkFactory, target: str, position: int, *rows: Mapping[str, Any]) -> int:
        """Write rows behind a position and return the position after them."""
        with _opened(factory, target, position) as sink:
            for row in rows:
                sink.write(row)
            return sink.flush()


class ExecutorContract:
    """Every `Executor`. Give it the fixture `executor`."""

    @pytest.fixture
    def executor(self) -> Executor:
        """Return the executor."""
        raise NotImplementedError

    def test_it_has_a_name(self, executor: Executor) -> None:
        """`--executor` asks for it."""
        assert executor.name

    def test_every_photo_has_one_outcome(self, executor: Executor, tmp_path: Path) -> None:
        """None is lost and none comes twice, failures pass through."""
        names = [f"{number}.jpg" if number % 7 else f"{number}-bad.jpg" for number in range(50)]
        outcomes = list(executor.map(_CheckedJob(tmp_path), map(_image, names)))
        assert Counter(outcome.file for outcome in outcomes) == Counter(names)
        assert {o.file for o in outcomes if isinstance(o, Failure)} == {name for name in names if "bad" in name}

    def test_no_photos_are_no_outcomes(self, executor: Executor, tmp_path: Path) -> None:
        """An empty folder is no error, and loads no model."""
        assert list(executor.map(_CheckedJob(tmp_path), ())) == []
        assert not (tmp_path / "opened").exists()

    def test_it_closes_what_it_opens(self, executor: Executor, tmp_path: Path) -> None:
        """When all is done, and when the caller has had enough."""
        list(executor.map(_CheckedJob(tmp_path), map(_image, "abc")))
        outcomes = executor.map(_CheckedJob(tmp_path), map(_image, map(str, range(100))))
        next(outcomes)
        assert isinstance(outcomes, Iterator)
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()
        del outcomes
        assert _events(tmp_path, "opened") == _events(tmp_path, "closed") > 0

    def test_it_does_not_read_all_photos_ahead(self, executor: Executor, tmp_path: Path) -> None:
        """There may be more than memory holds; and they are read in the caller's thread only."""
        read: list[str] = []
        caller = threading.get_ident()

        def endless() -> Iterator[ImageFile]:
            for number in count():
                assert threading.get_ident() == caller
                read.append(str(number))
                yield _image(read[-1])

        outcomes = executor.map(_CheckedJob(tmp_path), endless())
        assert len(list(islice(outcomes, 20))) == 20
        del outcomes
        assert len(read) < 1000

    def test_a_failing_machine_stops_the_run(self, executor: Executor, tmp_path: Path) -> None:
        """The error comes out as it is, and the job is closed."""
        names = ["1.jpg", "2-dead.jpg", *(f"{number}.jpg" for number in range(3, 60))]
        with pytest.raises(BackendCrashed, match="2-dead"):
            list(executor.map(_CheckedJob(tmp_path), map(_image, names)))
        assert _events(tmp_path, "opened") == _events(tmp_path, "closed") > 0


@contextmanager
def _opened(factory: SinkFactory, target: str, position: int) -> Iterator[Sink]:
    sink = factory.open(target, RUN)
    try:
        assert sink.recover(position)
        yield sink
    finally:
        sink.close()


@dataclass(frozen=True)
class _CheckedJob(Job):
    """Leaves a trace in a folder whenever it is opened and closed, in whatever process that is."""

    folder: Path

    @contextmanager
    def open(self) -> Iterator[Session]:
        """Open a session, leaving traces."""
        _trace(self.folder, "opened")
        try:
            yield _CheckedSession()
        finally:
            _trace(self.folder, "closed")


class _CheckedSession(Session):
    slots = 2

    def work(self, image: ImageFile) -> Outcome:
        """Fail as the photo's name says."""
        name = image.ref.name
        if "dead" in name:
            raise BackendCrashed(f"the process died at {name}")
        if "bad" in name:
            return Failure(name, image.sha256, FailureKind.REFUSED, "refused")
        info = ImageInfo(1, 1, 1, "JPEG")
        return Record(name, image.sha256, info, {}, "m:latest", "sha256:0", "recipe", Usage(), truncated=False)


def _trace(folder: Path, event: str) -> None:
    with (folder / event).open("a", encoding="utf-8") as file:
        file.write("x")


def _events(folder: Path, event: str) -> int:
    return len((folder / event).read_text(encoding="utf-8"))


def _image(name: str) -> ImageFile:
    return ImageFile(ImageRef(Path(name), name, 1, 0), sha256=name, data=b"x")


def _said(text: str) -> Completion:
    return Completion(text, FinishReason.STOP, Usage(), Timings())
