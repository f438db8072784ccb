"""The contracts can fail: for everything that they ask, a plugin that breaks it is caught.

`mutants/` has a good plugin of each kind, and the same plugin with one fault, many times over. Each module there is a
test module of its own. It is run here, in this process: the good plugin must pass everything, and each broken one must
fail the tests that are named beside it.
"""

import importlib
import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

KINDS = (
    *("answers", "backends", "contexts", "conversations", "documents", "embedders", "executors", "families", "loaders"),
    *("perceivers", "phases", "plugin_modules", "sequences", "side_by_side", "sinks", "sources", "tasks"),
)
FOLDER = Path(__file__).parent / "mutants"


class Recorder:
    """Runs the tests that are needed, and remembers how each ended, by plugin and test."""

    def __init__(self):
        self.failed, self.passed, self.skipped, self.errors = set(), set(), set(), {}

    def pytest_collection_modifyitems(self, items):
        from mutants.breaking import needed

        items[:] = [item for item in items if needed(item.callspec.params["plugin"], item.originalname)]
        for item in items:
            item.user_properties.append((str(item.callspec.params["plugin"]), item.originalname))

    def pytest_runtest_logreport(self, report):
        (key,) = report.user_properties
        if report.failed and report.when != "call":
            self.errors[key] = report.longreprtext
        elif report.failed:
            self.failed.add(key)
        elif report.skipped:
            self.skipped.add(key)
        elif report.when == "call":
            self.passed.add(key)


@pytest.fixture(scope="session")
def outcome(tmp_path_factory):
    """Return what runs the tests of one kind, once."""

    @cache
    def run(kind):
        recorder = Recorder()
        options = ("-q", "-p", "no:cacheprovider", "--tb=no", "--no-summary")
        own = f"--basetemp={tmp_path_factory.mktemp(kind)}"  # leave the folders of other runs alone
        pytest.main([str(FOLDER / f"{kind}.py"), *options, own], plugins=[recorder])
        return recorder

    return run


def plugins(kind):
    return importlib.import_module(f"mutants.{kind}").PLUGINS


def contract_of(kind):
    return importlib.import_module(f"mutants.{kind}").CONTRACT


def asked_by(contract):
    return {name for name in dir(contract) if name.startswith("test_")}


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_plugin_keeps_its_contract(kind, outcome):
    recorder = outcome(kind)
    assert {test for name, test in recorder.failed if name == "good"} == set()
    assert recorder.errors == {}
    ended = recorder.passed | recorder.skipped
    assert {test for name, test in ended if name == "good"} == asked_by(contract_of(kind))


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, plugin.name) for kind in KINDS for plugin in plugins(kind) if plugin.caught_by]
)
def test_a_broken_plugin_is_caught(kind, name, outcome):
    (plugin,) = (plugin for plugin in plugins(kind) if plugin.name == name)
    assert {test for test in plugin.caught_by if (name, test) not in outcome(kind).failed} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_test_of_a_contract_can_fail(kind):
    caught = {test for plugin in plugins(kind) for test in plugin.caught_by}
    assert asked_by(contract_of(kind)) - caught == set()
    assert caught - asked_by(contract_of(kind)) == set()


def test_no_kind_of_plugin_is_forgotten():
    from olpipe.testing import contracts

    parts = {part for kind in KINDS for part in contract_of(kind).__mro__}
    assert {name for name in contracts.__all__ if getattr(contracts, name) not in parts} == {"BackendContract"}
    assert asked_by(contracts.BackendContract) <= {test for kind in KINDS for test in asked_by(contract_of(kind))}
