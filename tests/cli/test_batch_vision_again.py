"""`olpipe batch` with a model that sees, whose process dies or which is interrupted: every photo is described once."""

import json
import re
import signal
import subprocess
import sys

import pytest

from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin

if sys.platform == "win32":
    pytest.skip("the signals here are POSIX", allow_module_level=True)

FAMILY = "qwen3_vl"
NAMES = [f"{number:02}.jpg" for number in range(10)]
TITLE = {"type": "string", "minLength": 5, "maxLength": 20}
SHORT = ("--model", FAMILY, "--schema", json.dumps({"type": "object", "properties": {"title": TITLE}}))

# An installed plugin that ends or interrupts a process when it does something for the n-th time. Of all processes that
# are started with the same folder, only so many as are asked for do so.
STRIKING = """
import os, signal
from pathlib import Path
from olpipe.default_plugins.onnx import eyes, rows
from olpipe.pipeline import job

done = {}

def striking(name, act):
    def acting(*arguments, **options):
        done[name] = done.get(name, 0) + 1
        place, at, times = os.environ.get("STRIKE", "nowhere 0 0").split()
        if name == place and done[name] == int(at):
            struck = Path(os.environ["STRUCK"])
            if len(list(struck.iterdir())) < int(times):
                (struck / str(os.getpid())).touch()
                os.kill(os.getpid(), getattr(signal, os.environ.get("STRIKE_WITH", "SIGKILL")))
        return act(*arguments, **options)
    return acting

for owner, name in ((eyes.Eyes, "look"), (rows.Row, "prefill"), (rows.Rows, "forward"), (job.DescribeSession, "work")):
    setattr(owner, name, striking(name, getattr(owner, name)))
"""


@pytest.fixture
def strike(seeing, plugin_folder, tmp_path, monkeypatch):
    """Return what says where processes strike, and how often in all; it returns the folder with a file of each."""
    (plugin_folder / "striking.py").write_text(STRIKING)
    install_plugin(plugin_folder, "striking", "striking")

    def strike(place, at, *, times=1, how="SIGKILL"):
        struck = tmp_path / f"struck-{place}-{at}"
        struck.mkdir()
        monkeypatch.setenv("STRIKE", f"{place} {at} {times}")
        monkeypatch.setenv("STRIKE_WITH", how)
        monkeypatch.setenv("STRUCK", str(struck))
        return struck

    return strike


@pytest.fixture
def photos(seeing):
    for number, name in enumerate(NAMES):
        seeing.put(name, data=photo(64 + 16 * number, 64 + 32 * (number % 3)))


def run(seeing, *more):
    """Run in a process of its own; return exit code and stderr."""
    with seeing.start(*SHORT, *more, stderr=subprocess.PIPE, text=True) as process:
        said = process.communicate()[1]
    return process.returncode, said


@pytest.fixture
def undisturbed(seeing, photos):
    """The records of a run that nothing happened to."""
    output, seeing.output = seeing.output, seeing.output.with_name("undisturbed")
    assert run(seeing)[0] == 0
    records, seeing.output = seeing.records, output
    return records


@pytest.mark.examples(1)
@pytest.mark.parametrize(("place", "at"), [("look", 1), ("look", 5), ("prefill", 7), ("forward", 1), ("forward", 12)])
def test_a_process_killed_among_photos_is_started_again_and_no_record_differs(seeing, undisturbed, strike, place, at):
    struck = strike(place, at)
    assert run(seeing)[0] == 0
    assert len(list(struck.iterdir())) == 1
    assert seeing.records == undisturbed
    assert seeing.failures == []


@pytest.mark.slow
def test_a_process_killed_again_and_again_stops_the_run_and_the_next_run_goes_on(seeing, undisturbed, strike):
    struck = strike("look", 3, times=8)
    code, said = run(seeing)
    assert code == 4
    assert "was killed by SIGKILL" in said
    deaths = len(list(struck.iterdir()))
    assert 2 <= deaths < 8
    assert seeing.report["status"] == "stopped"
    counted = seeing.report["photos"]
    assert counted["failures"] == 0
    done = counted["records"]
    strike("nowhere", 0)
    assert run(seeing)[0] == 0
    assert seeing.records == undisturbed
    assert seeing.report["photos"]["records_before"] == done


def test_a_photo_at_which_the_process_always_dies_is_named_and_no_photo_is_marked(seeing, photos, strike):
    strike("look", 1, times=100)
    code, said = run(seeing)
    assert code == 4
    assert re.search(r"it happened at `\d\d\.jpg`, twice", said)
    photos = seeing.report["photos"]
    assert (photos["records"], photos["failures"], photos["left"]) == (0, 0, len(NAMES))


def test_an_interrupt_finishes_the_photos_at_work_and_the_next_run_describes_the_others(seeing, undisturbed, strike):
    for at in (1, 3):  # of a run that is started anew each time
        strike("work", at, how="SIGINT")
        code, said = run(seeing)
        assert (code, "hint: run the same command again to go on" in said) == (130, True)
        assert seeing.report["status"] == "interrupted"
        assert seeing.failures == []
    done = seeing.files
    assert len(done) == len(set(done))
    strike("nowhere", 0)
    assert run(seeing)[0] == 0
    assert seeing.records == undisturbed
    assert seeing.report["photos"]["records_before"] == len(done)


def test_after_a_run_that_was_killed_the_next_one_describes_the_other_photos(seeing, undisturbed, strike):
    strike("work", 4)
    assert run(seeing)[0] == -signal.SIGKILL
    strike("nowhere", 0)
    assert run(seeing)[0] == 0
    assert seeing.records == undisturbed
