"""What real terminals show while a model is pulled and photos are described."""

import os
import re
import sys
import time
from contextlib import suppress

import pytest

from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf

pexpect = pytest.importorskip("pexpect")
pyte = pytest.importorskip("pyte")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")

LONGEST_S = 90
BAR = re.compile(r"[▕\[][█# ]+[▏\]]")

WARNING_PERCEIVER = """
import logging
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Perceiver
from olpipe.record import Evidence

class Grumbler(Perceiver):
    name, version = "grumbler", "1"
    def perceive(self, image):
        logging.getLogger("olpipe.grumbler").warning("photo of %d pixels", image.width * image.height)
        return Evidence()

@hookimpl
def register_perceivers():
    return [Grumbler()]
"""


class Shown:
    """A command on a terminal of its own, and what its screen shows. Use it as a context manager."""

    def __init__(self, *arguments, columns=80, rows=40, **variables):
        kept = {name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS", "NO_COLOR")}
        command = ["-P", "-m", "olpipe", *map(str, arguments)]
        self.screen = pyte.Screen(columns or 80, rows)
        self._stream = pyte.Stream(self.screen)
        self.written = ""
        self.child = pexpect.spawn(
            sys.executable,
            command,
            env={**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", **variables},
            dimensions=(rows, columns),
            encoding="utf-8",
            timeout=LONGEST_S,
        )
        self.child.delaybeforesend = None
        self.child.logfile_read = self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.child.close(force=True)

    def write(self, text):
        """Show what the command wrote: pexpect calls this."""
        self.written += text
        self._stream.feed(text)

    def flush(self):
        """Do nothing; pexpect calls this."""

    def see(self, text):
        """Wait until the screen shows a text."""
        until = time.monotonic() + LONGEST_S
        while text not in "\n".join(self.lines):
            assert time.monotonic() < until, self.lines
            with suppress(pexpect.TIMEOUT):
                self.child.read_nonblocking(4096, timeout=0.1)

    def resize(self, columns):
        self.child.setwinsize(40, columns)
        self.screen.resize(columns=columns)

    def end(self):
        """Wait for the end; return the exit code and the lines of the screen."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus, self.lines

    @property
    def lines(self):
        return [line.rstrip() for line in self.screen.display if line.strip()]


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Return a tiny model in a file with a short name, and go to its folder."""
    monkeypatch.chdir(tmp_path)
    return write_tiny_gguf(tmp_path / "tiny.gguf").name


def bars(lines):
    return [line for line in lines if BAR.search(line)]


@pytest.mark.parametrize(("columns", "has_bar"), [(20, False), (40, True), (80, True), (200, True)])
def test_a_pull_fits_every_width(weights, columns, has_bar):
    with Shown("pull", f"file:{weights}", "--name", "tiny", columns=columns) as shown:
        code, lines = shown.end()
    assert (code, lines[-1]) == (0, "success")
    assert lines[0].startswith("pulling `tiny")
    steps = [line for line in lines if re.search(r": 100%( |$)", line)]
    assert [line.split(":")[0] for line in steps][-1] == "converting"
    assert bool(bars(lines)) is has_bar
    assert "  0%" not in "".join(lines)
    assert "\x1b" not in shown.written


def test_a_terminal_that_says_it_has_no_columns_counts_as_usual(weights):
    with Shown("pull", f"file:{weights}", "--name", "tiny", columns=0) as shown:
        code, lines = shown.end()
    assert code == 0
    assert 60 < len(bars(lines)[-1]) < 80


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_terminal_without_cursor_and_the_log_of_ci_get_plain_lines(weights, variables):
    with Shown("pull", f"file:{weights}", "--name", "tiny", **variables) as shown:
        code, lines = shown.end()
    assert code == 0
    assert bars(lines) == []
    assert "\r" not in shown.written.replace("\r\n", "\n")
    assert lines == [
        f"pulling `tiny:latest` from `file:{weights}`",
        "building `tiny:latest`: this may take some minutes, once",
        "success",
    ]


def test_a_terminal_of_ascii_characters_gets_bars_of_them(weights):
    with Shown("pull", f"file:{weights}", "--name", "tiny", PYTHONIOENCODING="ascii") as shown:
        code, lines = shown.end()
    assert code == 0
    assert bars(lines)
    assert shown.written.isascii()


def test_an_error_after_a_bar_begins_on_its_own_line(tmp_path, weights):
    path = tmp_path / "cut.gguf"
    path.write_bytes((tmp_path / weights).read_bytes()[:-5000])
    with Shown("pull", f"file:{path.name}", "--name", "cut") as shown:
        code, lines = shown.end()
    assert code == 1
    assert any(line.startswith("error: ") for line in lines)
    assert not any("error: " in line for line in bars(lines))


def test_described_photos_fill_one_bar_and_the_summary_follows_it(batch):
    batch.put(*(f"{number}.jpg" for number in range(6)))
    with Shown(*batch.arguments()) as shown:
        code, lines = shown.end()
    assert code == 0
    (bar,) = [line for line in lines if line.startswith("photos:")]
    assert bar.startswith("photos: 100% ▕████")
    assert bar.endswith("▏ 6/6")
    assert lines[lines.index(bar) + 1] == "6 photos: 6 records"


def test_how_many_photos_failed_is_told_beside_the_bar(batch):
    batch.put("a.jpg", "b.jpg")
    batch.put("broken.jpg", data=b"\xff\xd8\xff broken")
    with Shown(*batch.arguments()) as shown:
        code, lines = shown.end()
    assert code == 3
    assert bars(lines)[-1].endswith("▏ 3/3  1 failed")


def test_a_bar_follows_the_width_of_the_terminal(batch):
    batch.model(delay_s=0.02)
    batch.put(*(f"{number}.jpg" for number in range(8)))
    with Shown(*batch.arguments(), columns=120) as shown:
        shown.see("▏ 1/8")
        wide = bars(shown.lines)[-1]
        shown.resize(50)
        code, lines = shown.end()
    assert code == 0
    assert len(wide) > 60
    (bar,) = [line for line in lines if "100%" in line]
    assert len(bar) < 50
    assert bar.endswith("▏ 8/8")
    assert lines[lines.index(bar) + 1] == "8 photos: 8 records"


def test_warnings_come_above_the_bar(batch, plugin_folder):
    (plugin_folder / "grumbler.py").write_text(WARNING_PERCEIVER)
    install_plugin(plugin_folder, "grumbler", "grumbler")
    batch.model(delay_s=0.01)
    for number in range(5):
        batch.put(f"{number}.jpg", data=photo(48 + number, 32))
    with Shown(*batch.arguments("--perceivers", "grumbler")) as shown:
        code, lines = shown.end()
    assert code == 0
    assert shown.written.index("photos:") < shown.written.rindex("warning: photo of")
    warnings = [line for line in lines if "warning: photo of" in line]
    assert len(warnings) == 5
    assert all(line.startswith("warning: photo of") for line in warnings)
    assert all(line.endswith(" pixels") for line in warnings)
    assert len(bars(lines)) == 1
    assert lines.index(bars(lines)[0]) > lines.index(warnings[-1])


def test_ctrl_c_leaves_a_tidy_terminal(batch):
    batch.model(delay_s=0.05)
    batch.put(*(f"{number}.jpg" for number in range(40)))
    with Shown(*batch.arguments()) as shown:
        shown.see("▏ 1/40")
        shown.child.sendintr()
        code, lines = shown.end()
    assert code == 130
    said = "finishing the photos in flight; press Ctrl-C again to quit at once"
    assert said in lines
    assert any(re.fullmatch(r"40 photos: \d+ records?", line) for line in lines)
    assert lines[-1] == "hint: run the same command again to go on"
    assert not shown.screen.cursor.hidden
    assert "\x1b[?25l" not in shown.written


def test_a_pull_that_is_interrupted_leaves_a_tidy_terminal(batch):
    batch.model(build_s=LONGEST_S)
    with Shown("run", "echo", "hello") as shown:
        shown.see("building")
        shown.child.sendintr()
        code, _ = shown.end()
    assert code == 130
    assert not shown.screen.cursor.hidden
    assert shown.screen.cursor.x == 0


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_report_on_the_machine_fits_every_width(isolated_home, columns):
    with Shown("doctor", columns=columns, rows=120) as shown:
        code, lines = shown.end()
    assert code == 0
    assert {"Machine", "Runtimes", "What to do next"} <= set(lines)
    broken = [line for line in lines if re.match(r" {10,}\S", line)]
    assert bool(broken) is (columns < 200)


def test_marks_of_a_report_have_colours_on_a_terminal_unless_they_are_not_wanted(isolated_home):
    with Shown("doctor") as shown:
        shown.end()
    assert "\x1b[32mok" in shown.written
    for variables in ({"NO_COLOR": "1"}, {"CLICOLOR": "0"}, {"TERM": "dumb"}):
        with Shown("doctor", **variables) as shown:
            shown.end()
        assert "\x1b" not in shown.written
