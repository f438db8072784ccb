"""Whatever goes wrong is told, and the session goes on."""

from pathlib import Path

import click
import pytest

from olpipe.cli.repl.telling import told
from olpipe.errors import UsageError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UsageError("that is wrong", hint="do this"), "error: that is wrong\nhint: do this\n"),
        (UsageError("that is wrong"), "error: that is wrong\n"),
        (click.UsageError("No such option: -x"), "error: No such option: -x\n"),
    ],
)
def test_an_error_is_a_line_and_a_hint(capsys, error, said):
    with told():
        raise error
    assert capsys.readouterr().err == said


def test_a_fault_keeps_its_traceback_in_a_file(capsys):
    with told():
        raise LookupError("this was not expected\nat all")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: olpipe has a fault: LookupError: this was not expected"
    path = Path(second.removeprefix("hint: the traceback is in ").removesuffix("; please report it"))
    assert "test_telling.py" in path.read_text()
    path.unlink()


def test_ctrl_c_comes_out():
    with pytest.raises(KeyboardInterrupt), told():
        raise KeyboardInterrupt


def test_a_traceback_is_shown_where_that_is_wished_for(capsys, monkeypatch):
    monkeypatch.setenv("OLPIPE_DEBUG", "1")
    with told():
        raise UsageError("that is wrong")
    assert "Traceback" in capsys.readouterr().err
