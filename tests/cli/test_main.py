"""How the command line ends when nothing else has caught an error, and what it writes to."""

import subprocess
import sys
from pathlib import Path

FAULT = """
import click
from olpipe.cli import main

@main.cli.command()
def broken():
    raise {error}

main.main(["broken"])
"""
ECHO = """
import click
from olpipe.cli import main

@main.cli.command()
def say():
    click.echo('{"mood":"开心😀"}')

main.main(["say"])
"""


def run(source, **environment):
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, timeout=60, env={"PATH": "", **environment}, check=False
    )


def test_a_fault_of_ours_is_one_line_and_a_file_with_the_traceback(tmp_path):
    ended = run(FAULT.format(error="ZeroDivisionError('by zero')"), TMPDIR=str(tmp_path), OLPIPE_HOME=str(tmp_path))
    line, hint = ended.stderr.decode().splitlines()
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert line == "error: olpipe has a fault: ZeroDivisionError: by zero"
    (log,) = tmp_path.glob("olpipe-*.log")
    assert hint == f"hint: the traceback is in {log}; please report it"
    assert "Traceback" in Path(log).read_text(encoding="utf-8")


def test_a_console_of_another_encoding_gets_every_text(tmp_path):
    ended = run(ECHO, PYTHONIOENCODING="cp1252", OLPIPE_HOME=str(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode("utf-8") == '{"mood":"开心😀"}\n'
