"""What the ledger remembers of a run comes back as it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.interfaces import RunInfo
from olpipe.pipeline.last_run import last_run, remember_run
from olpipe.pipeline.ledger import Ledger


@pytest.fixture
def run(folder):
    folder.put("a.jpg")
    folder.describe()
    schema = {"type": "object"}
    return RunInfo(folder.photos, folder.output, schema, "r", "k1", "m:latest", "sha256:0", language="zh-Hans")


def test_a_run_comes_back_with_its_language(folder, run):
    with Ledger(folder.output) as ledger:
        remember_run(ledger, run)
        assert last_run(ledger) == run
        remember_run(ledger, replace(run, language="en", root=Path("/elsewhere")))
        assert last_run(ledger) == replace(run, language="en", root=Path("/elsewhere"))


def test_a_run_of_which_no_language_was_noted_has_none(folder, run):
    with Ledger(folder.output) as ledger:
        remember_run(ledger, run)
        ledger.run("DROP TABLE run_languages")
        assert last_run(ledger) == replace(run, language="")
