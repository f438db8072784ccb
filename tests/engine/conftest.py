"""A real store with echo models, engines over it, and a look at what they leave behind."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import SimpleQueue

import pytest

from olpipe.engine.manager import Engine
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.testing.fixtures import echo_plugin, plugin_folder
from tests.engine.processes import children, note_others

__all__ = ["echo_plugin", "plugin_folder"]


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    """Let no test leave a process or a thread behind."""
    threads = set(threading.enumerate())
    note_others()
    yield
    assert {thread.name for thread in set(threading.enumerate()) - threads} == set()
    assert children() == []


@pytest.fixture
def library(tmp_path) -> Library:
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def plugins(tmp_path, echo_plugin) -> Plugins:
    return Plugins.load(Settings(home=tmp_path))


@pytest.fixture
def start(library, plugins, tmp_path) -> Iterator[Callable[..., Engine]]:
    """Start engines with the settings given."""
    started: list[Engine] = []

    def start(progress: ProgressCallback | None = None, **settings: object) -> Engine:
        started.append(Engine(library, plugins, Settings(home=tmp_path, **settings), progress=progress))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


@pytest.fixture
def engine(start) -> Engine:
    return start()


@pytest.fixture
def add_echo(library) -> Callable[..., None]:
    """Put an echo model into the store; its options are JSON. Models of different names are different models."""

    def add(name: str = "echo", options: str = "{}") -> None:
        layer = replace(library.add_bytes(options.encode()), name="echo.json")
        library.commit(ModelName.parse(name), ModelConfig(model_format="echo", model_type=name), [layer])

    return add


class Gate:
    """A progress callback that holds up what reports to it until it is opened."""

    def __init__(self) -> None:
        self.reports: SimpleQueue[Progress] = SimpleQueue()
        self._opened = threading.Event()

    def __call__(self, progress: Progress) -> None:
        self.reports.put(progress)
        assert self._opened.wait(60)

    def wait_for_report(self) -> Progress:
        return self.reports.get(timeout=60)

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Wait until something holds; a minute is the guard against hanging."""

    def until(holds: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline_s, "it did not come to hold within a minute"
            time.sleep(0.01)

    return until
