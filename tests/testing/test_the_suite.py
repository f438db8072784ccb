"""How the tests of this repository are run: on several processors, what must be alone at the end, examples first."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = """\
[tool.pytest.ini_options]
testpaths = ["tests"]
addopts = "--import-mode=importlib -p xdist -p no:cacheprovider"
markers = ["alone", "slow", "examples"]
"""
NOTES = """\
import os
from pathlib import Path

import pytest

LOG = Path(os.environ["LOG"])

@pytest.mark.examples(2)
@pytest.mark.parametrize("case", range(5))
def test_cases(case):
    with LOG.open("a") as log:
        log.write(f"{__name__} {case} {os.environ.get('PYTEST_XDIST_WORKER')}\\n")
"""


@pytest.fixture
def run(tmp_path, unmeasured):
    """Return what runs a suite of five files, one of which must be alone; it returns file, case and process."""
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    names = ("cli/repl/test_a", "test_b", "test_c", "test_d", "test_e")
    for path in (tmp_path / "tests" / f"{name}.py" for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NOTES)

    def run(*options):
        log = tmp_path / "log"
        # A process for each of 2 processors, whatever the machine has, and no plugins that are not needed
        more = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_XDIST_AUTO_NUM_WORKERS": "2", "LOG": str(log)}
        environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")} | more
        command = [sys.executable, "-m", "pytest", "-q", *options]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return [tuple(line.split()) for line in log.read_text().splitlines()]

    return run


def test_each_file_runs_in_one_of_several_processes_and_what_must_be_alone_comes_last(run):
    ran = run()
    processes = {}
    for file, _, process in ran:
        processes.setdefault(file, set()).add(process)
    assert {len(those) for those in processes.values()} == {1}
    assert set.union(*processes.values()) == {"gw0", "gw1"}
    assert [file for file, _, _ in ran][-2:] == ["tests.cli.repl.test_a"] * 2
    assert len(ran) == 10


def test_files_that_are_named_run_in_this_process_and_all_their_cases_when_slow_ones_are_asked_for(run):
    ran = run("--run-slow", "tests/test_b.py")
    assert ran == [("tests.test_b", str(case), "None") for case in range(5)]
