"""The contract of executors."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from olpipe.errors import BackendCrashed
from olpipe.generation import Usage
from olpipe.image import ImageFile, ImageRef
from olpipe.interfaces import Executor, Job, Session
from olpipe.record import Failure, FailureKind, ImageInfo, Outcome, Record

MANY = 3000
MOST_AHEAD = 1000


class ExecutorContract:
    """Every `Executor`. Give it the fixture `executor`.

    The photos of the tests are files, so an executor may send their paths to other processes, and read them there.
    """

    @pytest.fixture
    def executor(self) -> Executor:
        """Return the executor."""
        raise NotImplementedError

    def test_it_has_a_name(self, executor: Executor) -> None:
        """`--executor` asks for it."""
        assert isinstance(executor.name, str)
        assert executor.name

    def test_every_photo_has_one_outcome(self, executor: Executor, tmp_path: Path) -> None:
        """None is lost and none comes twice."""
        names = [f"{number}.jpg" for number in range(50)]
        outcomes = list(executor.map(_CheckedJob(tmp_path), map(_photos(tmp_path), names)))
        assert Counter(outcome.file for outcome in outcomes) == Counter(names)

    def test_failures_pass_through(self, executor: Executor, tmp_path: Path) -> None:
        """A photo that cannot be described is an outcome like any other."""
        names = [f"{number}.jpg" if number % 7 else f"{number}-bad.jpg" for number in range(50)]
        outcomes = list(executor.map(_CheckedJob(tmp_path), map(_photos(tmp_path), names)))
        assert {o.file for o in outcomes if isinstance(o, Failure)} == {name for name in names if "bad" in name}

    def test_a_single_photo_is_worked(self, executor: Executor, tmp_path: Path) -> None:
        """There is no least number of photos."""
        assert [outcome.file for outcome in executor.map(_CheckedJob(tmp_path), [_photos(tmp_path)("a.jpg")])] == [
            "a.jpg"
        ]

    def test_no_photos_are_no_outcomes(self, executor: Executor, tmp_path: Path) -> None:
        """An empty folder is no error, and no model is loaded for it."""
        assert list(executor.map(_CheckedJob(tmp_path), ())) == []
        assert not (tmp_path / "opened").exists()

    def test_the_job_is_opened_when_there_is_a_photo(self, executor: Executor, tmp_path: Path) -> None:
        """Looking for the first photo may take long; until there is one, no model is loaded."""
        opened_before: list[bool] = []

        def late() -> Iterator[ImageFile]:
            opened_before.append((tmp_path / "opened").exists())
            yield _photos(tmp_path)("a.jpg")

        assert len(list(executor.map(_CheckedJob(tmp_path), late()))) == 1
        assert opened_before == [False]

    def test_it_closes_what_it_opens(self, executor: Executor, tmp_path: Path) -> None:
        """It does so when everything is done, and when the caller stops early."""
        list(executor.map(_CheckedJob(tmp_path), map(_photos(tmp_path), "abc")))
        assert _events(tmp_path, "opened") == _events(tmp_path, "closed") > 0
        outcomes = executor.map(_CheckedJob(tmp_path), map(_photos(tmp_path), map(str, range(100))))
        next(outcomes)
        _close(outcomes)
        assert _events(tmp_path, "opened") == _events(tmp_path, "closed") > 1

    def test_it_does_not_read_all_photos_ahead(self, executor: Executor, tmp_path: Path) -> None:
        """There may be more photos than memory holds."""
        read: list[str] = []

        def many() -> Iterator[ImageFile]:
            for number in range(MANY):
                read.append(str(number))
                yield _photos(tmp_path)(read[-1])

        outcomes = executor.map(_CheckedJob(tmp_path), many())
        for _ in range(20):
            next(outcomes)
        assert len(read) < MOST_AHEAD
        _close(outcomes)

    def test_it_reads_photos_in_the_callers_thread(self, executor: Executor, tmp_path: Path) -> None:
        """The code that looks for photos need not be thread-safe."""
        readers: set[int] = set()

        def watched() -> Iterator[ImageFile]:
            for number in range(30):
                readers.add(threading.get_ident())
                yield _photos(tmp_path)(str(number))

        assert len(list(executor.map(_CheckedJob(tmp_path), watched()))) == 30
        assert readers == {threading.get_ident()}

    def test_a_failing_machine_stops_the_run(self, executor: Executor, tmp_path: Path) -> None:
        """The error comes out as it is, and the job is closed."""
        names = ["1.jpg", "2-dead.jpg", *(f"{number}.jpg" for number in range(3, 60))]
        with pytest.raises(BackendCrashed, match="2-dead"):
            list(executor.map(_CheckedJob(tmp_path), map(_photos(tmp_path), names)))
        assert _events(tmp_path, "opened") == _events(tmp_path, "closed") > 0

    def test_an_error_of_whoever_looks_for_photos_comes_out(self, executor: Executor, tmp_path: Path) -> None:
        """Otherwise photos that were not found would pass for photos that are done."""

        def broken() -> Iterator[ImageFile]:
            yield _photos(tmp_path)("1.jpg")
            raise OSError("the disk is gone")

        with pytest.raises(OSError, match="the disk is gone"):
            list(executor.map(_CheckedJob(tmp_path), broken()))
        assert _events(tmp_path, "opened") == _events(tmp_path, "closed") > 0


def _close(outcomes: Iterator[Outcome]) -> None:
    """Close the iterator, as a caller does that leaves its loop early."""
    close = getattr(outcomes, "close", None)
    if close is not None:
        close()


@dataclass(frozen=True)
class _CheckedJob(Job):
    """Leaves a trace in a folder whenever it is opened or closed, in whatever process."""

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
    path = folder / event
    return len(path.read_text(encoding="utf-8")) if path.exists() else 0


def _photos(folder: Path) -> Callable[[str], ImageFile]:
    """Return a function that makes a file of a name: an executor may send only its path."""

    def make(name: str) -> ImageFile:
        path = folder / "photos" / name
        path.parent.mkdir(exist_ok=True)
        data = name.encode()
        path.write_bytes(data)
        return ImageFile(ImageRef(path, name, len(data), 0), hashlib.sha256(data).hexdigest(), data)

    return make
