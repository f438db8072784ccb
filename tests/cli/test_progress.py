import io

import pytest

from olpipe.cli.progress import shown
from olpipe.interfaces import Progress


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_without_a_terminal_there_is_one_line_of_explanation():
    stream = io.StringIO()
    with shown("pulling, once", stream=stream) as report:
        for done in range(10):
            report(Progress("storing", done, 10))
        report(Progress("writing manifest"))
    assert stream.getvalue() == "pulling, once\n"


def test_a_step_that_reports_nothing_says_nothing():
    stream = Terminal()
    with shown("pulling, once", stream=stream):
        pass
    assert stream.getvalue() == ""


def test_on_a_terminal_every_status_gets_a_bar():
    stream = Terminal()
    with shown("pulling, once", stream=stream) as report:
        report(Progress("downloading x", 1_000_000))
        report(Progress("storing x", 0, 2_000_000))
        report(Progress("storing x", 2_000_000, 2_000_000))
        report(Progress("writing manifest"))
        report(Progress("converting", 3, 4, "tensors"))
    lines = [line.split("\r")[-1] for line in stream.getvalue().split("\n")]
    assert lines[0] == "pulling, once"
    assert lines[1].startswith("downloading x: 1.00M")
    assert lines[2].startswith("storing x: 100% |████████████████████| 2.00M/2.00M")
    assert lines[3] == "writing manifest"
    assert lines[4].startswith("converting:  75% |███████████████     | 3/4")
    assert lines[5] == ""


def test_what_comes_next_is_explained_between_bars():
    stream = Terminal()
    with shown("pulling", stream=stream) as display:
        display(Progress("storing x", 1, 2))
        display.explain("building: this may take some minutes, once")
        display(Progress("converting", 3, 4, "tensors"))
    lines = [line.split("\r")[-1] for line in stream.getvalue().split("\n")]
    assert lines[0] == "pulling"
    assert lines[1].startswith("storing x:  50%")
    assert lines[2] == "building: this may take some minutes, once"
    assert lines[3].startswith("converting:  75%")


def test_what_comes_first_is_explained_first():
    stream = io.StringIO()
    with shown("pulling", stream=stream) as display:
        display.explain("building")
    assert stream.getvalue() == "pulling\nbuilding\n"


def test_a_bar_is_closed_when_the_step_fails():
    stream = Terminal()
    with pytest.raises(ZeroDivisionError), shown("pulling, once", stream=stream) as report:
        report(Progress("storing x", 1, 2))
        raise ZeroDivisionError
    assert stream.getvalue().endswith("\n")
