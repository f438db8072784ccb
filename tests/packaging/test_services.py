"""Files that other programs read: systemd's units and Homebrew's formula."""

import configparser
import os
import re
import shlex
import shutil
import subprocess

import click
import pytest

import olpipe
from olpipe.cli.watch import watch
from olpipe.server.edge.listen import ENDING_S, GRACE_S
from tests.packaging.conftest import ROOT

UNITS = {
    "system": ROOT / "packaging/systemd/system/olpipe.service",
    "user": ROOT / "packaging/systemd/user/olpipe.service",
}
WATCH = ROOT / "packaging/systemd/user/olpipe-watch.service"
FORMULA = ROOT / "packaging/homebrew/olpipe.rb"
MOST_EXPOSED = 3.0
"""systemd's figure for a service, from 0 (locked in) to 10. A server on the network that may use GPUs gets about 2."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
needs_ruby = pytest.mark.skipif(shutil.which("ruby") is None, reason="Ruby is not installed")


def read(unit):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(unit, encoding="utf-8")
    return parser


@pytest.fixture
def analyze(tmp_path, monkeypatch):
    """Return a function that runs systemd-analyze over a unit whose program is one that is there."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))

    def run(unit, *command):
        copy = tmp_path / unit.name
        text = re.sub(
            r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit.read_text(encoding="utf-8"), flags=re.M
        )
        copy.write_text(text, encoding="utf-8")
        command = ["systemd-analyze", *command, str(copy)]
        ended = subprocess.run(command, env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, text=True)
        return ended.returncode, ended.stdout, ended.stderr

    return run


@needs_systemd
@pytest.mark.parametrize("scope", UNITS)
def test_systemd_understands_the_unit(analyze, scope):
    assert analyze(UNITS[scope], f"--{scope}", "verify", "--man=no") == (0, "", "")


@needs_systemd
def test_systemd_understands_the_unit_that_watches_folders(analyze):
    assert analyze(WATCH, "--user", "verify", "--man=no") == (0, "", "")


def test_the_unit_that_watches_folders_gives_a_command_that_there_is():
    program, *arguments = shlex.split(read(WATCH)["Service"]["ExecStart"])
    assert program.endswith("/olpipe")
    assert arguments[0] == "watch"
    given, _, _ = watch.make_parser(click.Context(watch)).parse_args(arguments[1:])
    assert (given["folders"], given["output"]) == (("%h/Pictures",), "%h/Pictures-described")


@needs_systemd
def test_systemd_finds_a_mistake_in_a_unit(analyze, tmp_path):
    wrong = tmp_path / "wrong" / "olpipe.service"
    wrong.parent.mkdir()
    text = UNITS["system"].read_text(encoding="utf-8").replace("ProtectSystem=strict", "ProtectSystme=strict")
    wrong.write_text(text, encoding="utf-8")
    _, _, error = analyze(wrong, "verify", "--man=no")
    assert "ProtectSystme" in error


@needs_systemd
def test_the_service_of_a_machine_is_little_exposed(analyze):
    code, said, _ = analyze(UNITS["system"], "security", "--offline=true", "--no-pager")
    assert code == 0
    assert float(re.search(r"exposure level for \S+: ([\d.]+)", said)[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("scope", UNITS)
def test_a_service_is_given_the_time_that_the_server_takes_to_end(scope):
    service = read(UNITS[scope])["Service"]
    assert service["ExecStart"].endswith("/olpipe serve")
    assert int(service["TimeoutStopSec"]) > GRACE_S + ENDING_S


def test_the_service_of_a_machine_keeps_its_models_where_systemd_lets_it_write():
    service = read(UNITS["system"])["Service"]
    assert f"OLPIPE_HOME=/var/lib/{service['StateDirectory']}" in service["Environment"].split()


@needs_ruby
def test_ruby_understands_the_formula():
    ended = subprocess.run(["ruby", "-wc", FORMULA], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("Syntax OK\n", "")


def test_the_formula_is_of_this_version_and_ends_the_server_that_it_starts():
    text = FORMULA.read_text(encoding="utf-8")
    assert f"olpipe-{olpipe.__version__}.tar.gz" in text
    assert re.search(r'Process\.kill "TERM", server\n\s+Process\.wait server', text)
