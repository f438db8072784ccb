"""What all tests of this repository share, the plugins' own included."""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from olpipe.errors import OlpipeError
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.resolve import resolve

# A slow machine is no reason to fail.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

NOTHING_ELSE = {
    "OLPIPE_REGISTRY": "off",
    "DOCKER_CONFIG": os.devnull,
    "OLPIPE_REGISTRY_KEY": os.devnull,
    "OLPIPE_SERVER": "off",
    "HF_HUB_OFFLINE": "1",
    "HF_TOKEN_PATH": os.devnull,
}
"""No test asks a registry, a hub or a server that it has not started itself, or reads the logins of whoever runs it."""
os.environ.update(NOTHING_ELSE)  # here, because servers for a whole session are started before fixtures of tests

OF_THIS_RUN = ("CI", "PYTEST_ADDOPTS", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")
"""What holds for the run of the tests, and not for the commands that they start."""

ALONE = ("tests/benchmarks", "tests/cli/repl", "tests/cli/test_completion_shells.py", "tests/cli/test_terminals.py")
"""Tests that other tests must not keep from answering in time, or from measuring."""

_SKIPPED = {
    "slow": "takes long: run with --run-slow",
    "gpu": "needs a GPU: run with `-m gpu` on a machine that has one",
    "network": "needs more of the network than the package registries: run with `-m network`",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    parser.addoption("--run-slow", action="store_true", help="run tests marked slow, too")
    parser.addoption(
        "--photo-mini-home",
        type=Path,
        metavar="FOLDER",
        help="keep the real model in this folder between runs; without it, every run pulls and builds it once",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite on all processors; a run of files that are named, or of a marker, stays in one process."""
    if hasattr(config, "workerinput"):
        return  # this is one of those processes
    chosen = config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.markexpr
    watched = config.option.usepdb or config.option.capture == "no" or config.option.collectonly
    if not chosen and not watched and config.getoption("numprocesses", 0) is None and config.option.dist == "no":
        config.option.numprocesses, config.option.dist = "logical", "loadfile"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Keep what must be alone until everything else has ended, unless `-m` says which tests run."""
    whole = config.getoption("dist") == "loadfile" and not config.option.markexpr
    return AloneLast(config, log) if whole else None


class AloneLast(LoadFileScheduling):
    """Gives each file to one process. What must be alone comes last, in the last process that is left.

    `pytest_collection_modifyitems` puts these tests at the end, so they are the end of the queue.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return "alone" if nodeid.startswith(ALONE) else nodeid.partition("::")[0]

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Note that a test has ended, and end its process where nothing is left for it."""
        others = [one for one in self.nodes if one is not node]
        if list(self.workqueue) != ["alone"] or not others:
            super().mark_test_complete(node, item_index, duration)
            return
        nodeid = self.registered_collections[node][item_index]
        self.assigned_work[node][self._split_scope(nodeid)][nodeid] = True
        if not all(one.shutting_down for one in others):
            node.shutdown()

    def remove_node(self, node: WorkerController) -> str | None:
        """Go on with what must be alone when its process is the last one; return the test that crashed, if one did."""
        crashed: str | None = super().remove_node(node)
        if len(self.nodes) == 1:
            self.schedule()
        return crashed


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what not every machine can run, and say why; a marker that is asked for with `-m` runs."""
    items.sort(key=lambda item: item.nodeid.startswith(ALONE))  # last, in the order in which they are
    mark_all_but_examples(items)
    wanted = config.getoption("markexpr")
    for item in items:
        if item.nodeid.startswith(ALONE):
            item.add_marker(pytest.mark.alone)
        if "photo_mini_home" in getattr(item, "fixturenames", ()) and item.get_closest_marker("skipif") is None:
            item.user_properties.append(("real_model", True))  # `.ci/run` lets none of these be skipped
        for marker, reason in _SKIPPED.items():
            asked_for = marker in wanted or (marker == "slow" and config.getoption("--run-slow"))
            if item.get_closest_marker(marker) is not None and not asked_for:  # a folder may have the same name
                item.add_marker(pytest.mark.skip(reason=reason))


def mark_all_but_examples(items: list[pytest.Item]) -> None:
    """Make those cases of a test slow that come after as many as its marker `examples` says."""
    cases: Counter[str] = Counter()
    for item in items:
        examples = item.get_closest_marker("examples")
        if examples is not None:
            test = item.nodeid.partition("[")[0]
            cases[test] += 1
            if cases[test] > examples.args[0]:
                item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Let no garbage collection look at hundreds of thousands of objects that stay as long as the session."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not measure the coverage of processes that the test starts: that imports modules and writes files."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def isolated_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Give every test a home folder of its own, and none of the user's settings."""
    for name in list(os.environ):
        if name.startswith(("OLPIPE_", "OLLAMA_", "HF_")) or name in OF_THIS_RUN:
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("OLPIPE_HOME", str(home))
    for name, value in NOTHING_ELSE.items():
        monkeypatch.setenv(name, value)
    logger = logging.getLogger("olpipe")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield home
    # A test that runs the command line in this process sets logging up for it.
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


@pytest.fixture(scope="session")
def photo_mini_home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home folder with the real `photo-mini`, pulled through pip and built once a session.

    Point `OLPIPE_HOME` at it. Where the plugin or the registry is missing, tests fail: the real model is
    what this project is about. Processes that run tests side by side share it: a second one waits for the first.
    """
    home: Path | None = request.config.getoption("--photo-mini-home")
    if home is None and hasattr(request.config, "workerinput"):
        home = tmp_path_factory.getbasetemp().parent / "photo-mini"
    elif home is None:
        home = tmp_path_factory.mktemp("photo-mini")
    settings = Settings(home=home.absolute())
    plugins = Plugins.load(settings)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    try:
        bundle = resolve("photo-mini", library, plugins, lambda progress: None)
        build(bundle, backend_for(bundle, plugins.backends), lambda progress: None)
    except OlpipeError as error:
        pytest.fail(f"photo-mini could not be had: {error.message} (hint: {error.hint})", pytrace=False)
    return settings.home
