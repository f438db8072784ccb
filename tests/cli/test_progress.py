"""What is shown of a long step. How that looks on real terminals is in `test_terminals.py`."""

import io
import logging

import pytest

from olpipe import logs
from olpipe.cli.bar import LONGEST_BAR, Rate, bar_line, plain_line, width
from olpipe.cli.live_line import LiveLine, say
from olpipe.cli.progress import shown
from olpipe.interfaces import Progress


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture(autouse=True)
def usual_terminal(monkeypatch):
    """Stand on a terminal that can move its cursor, as wide as most are."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("CI", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def lines_of(stream):
    """Return the lines as they stay on the screen, without the spaces that wiped out longer texts."""
    return [line.split("\r")[-1].rstrip() for line in stream.getvalue().split("\n")]


def test_without_a_terminal_there_is_one_line_of_explanation():
    stream = io.StringIO()
    with shown("pulling, once", stream=stream) as report:
        for done in range(10):
            report(Progress("storing", done, 10))
        report(Progress("writing manifest"))
    assert stream.getvalue() == "pulling, once\n"


def test_without_a_terminal_a_long_step_says_now_and_then_how_far_it_is():
    stream, clock = io.StringIO(), Clock()
    with shown("pulling", stream=stream, clock=clock) as report:
        for second in range(91):
            clock.now_s = second
            report(Progress("storing x", second * 10**6, 100 * 10**6))
    assert stream.getvalue().splitlines() == [
        "pulling",
        "storing x: 30%, 30 MB/100 MB, 1 MB/s, 1m10s left",
        "storing x: 60%, 60 MB/100 MB, 1 MB/s, 40s left",
        "storing x: 90%, 90 MB/100 MB, 1 MB/s, 10s left",
    ]


def test_a_step_that_stands_still_says_so_once():
    stream, clock = io.StringIO(), Clock()
    with shown("pulling", stream=stream, clock=clock) as report:
        for second in range(60):
            clock.now_s = second
            report(Progress("waiting for another pull"))
    assert stream.getvalue() == "pulling\nwaiting for another pull\n"


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("TERM", ""), ("CI", "true"), ("CI", "1")])
def test_a_terminal_that_cannot_move_and_the_log_of_ci_get_no_bar(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    stream = Terminal()
    with shown("pulling, once", stream=stream) as report:
        report(Progress("storing", 1, 10))
    assert stream.getvalue() == "pulling, once\n"


def test_a_step_that_reports_nothing_says_nothing():
    stream = Terminal()
    with shown("pulling, once", stream=stream):
        pass
    assert stream.getvalue() == ""


def test_on_a_terminal_every_status_gets_a_line():
    stream = Terminal()
    with shown("pulling, once", stream=stream) as report:
        report(Progress("downloading x", 1_000_000))
        report(Progress("storing x", 0, 2_000_000))
        report(Progress("storing x", 2_000_000, 2_000_000))
        report(Progress("writing manifest"))
        report(Progress("converting", 3, 4, "tensors"))
    assert lines_of(stream) == [
        "pulling, once",
        "downloading x: 1 MB",
        f"storing x: 100% ▕{'█' * 31}▏ 2 MB",
        "writing manifest",
        f"converting:  75% ▕{'█' * 22}{' ' * 8}▏ 3/4 tensors",
        "",
    ]


def test_what_comes_next_is_explained_between_bars():
    stream = Terminal()
    with shown("pulling", stream=stream) as display:
        display(Progress("storing x", 1, 2))
        display.explain("building: this may take some minutes, once")
        display(Progress("converting", 3, 4, "tensors"))
    lines = lines_of(stream)
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


def test_a_second_bar_hides_the_first_until_it_is_closed():
    stream = Terminal()
    with shown("", stream=stream) as outer:
        outer(Progress("photos", 1, 4, "photos"))
        with shown("building", stream=stream) as inner:
            inner(Progress("converting", 3, 4, "tensors"))
            outer(Progress("photos", 2, 4, "photos"))
    assert [line.partition(" ▕")[0] for line in lines_of(stream)] == [
        "building",
        "converting:  75%",
        "photos:  50%",
        "",
    ]


def test_bars_that_are_closed_in_any_order_leave_the_logs_as_they_were():
    stream = Terminal()
    handler = logging.StreamHandler(stream)
    logging.getLogger("olpipe").addHandler(handler)
    first, second = LiveLine(stream), LiveLine(stream)
    assert handler.stream is not stream
    first.close()
    assert handler.stream is not stream
    second.close()
    assert handler.stream is stream


def test_a_warning_comes_above_the_bar(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(debug=False)
    with shown("pulling", stream=stream) as display:
        display(Progress("storing x", 1, 2))
        logging.getLogger("olpipe.somewhere").warning("a plugin\nis old")
        say("left out: 3 videos", stream)
    lines = lines_of(stream)
    assert lines[:4] == ["pulling", "warning: a plugin", "is old", "left out: 3 videos"]
    assert lines[4].startswith("storing x:  50%")
    logging.getLogger("olpipe.somewhere").warning("after it")
    assert stream.getvalue().endswith("\nwarning: after it\n")


def test_bars_are_drawn_ten_times_a_second_at_most_and_at_the_end():
    stream, clock = Terminal(), Clock()
    with shown("", stream=stream, clock=clock) as display:
        for step in range(1001):
            clock.now_s = step / 1000
            display(Progress("storing x", step, 1000))
    frames = stream.getvalue().split("\r")
    assert len(frames) <= 13
    assert frames[-1].startswith("storing x: 100%")


def test_a_shorter_text_leaves_nothing_of_a_longer_one():
    stream, clock = Terminal(), Clock()
    line = LiveLine(stream, clock=clock)
    line.update(lambda columns: "a long text")
    clock.now_s = 1
    line.update(lambda columns: "short")
    line.close()
    assert stream.getvalue().startswith(f"\ra long text\rshort{' ' * 8}\r")


def test_a_bar_looks_like_that_of_ollama():
    progress = Progress("pulling 8eeb52dfb3bb", 42_000_000, 100_000_000)
    expected = "pulling 8eeb52dfb3bb:  42% ▕███████           ▏ 42 MB/100 MB     5 MB/s     12s"
    assert bar_line(progress, 79, rate=5e6) == expected


@pytest.mark.parametrize("columns", [1, 5, 10, 20, 30, 40, 60, 80, 120, 200])
@pytest.mark.parametrize(
    "status", ["photos", "pulling 8eeb52dfb3bb", "storing 图像描述模型-非常长的文件名.gguf", "a" * 300]
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_line_is_never_wider_than_the_terminal(columns, status, ascii_only):
    for completed in (0, 1, 500_000_000, 10**9):
        progress = Progress(status, completed, 10**9)
        line = bar_line(progress, columns, rate=123.4, note="12 failed", ascii_only=ascii_only)
        assert width(line) <= columns or columns < 9
        assert line.isascii() or not (ascii_only and status.isascii())


def test_a_bar_gets_no_longer_on_a_wide_terminal():
    line = bar_line(Progress("x", 10, 10), 300)
    assert line.count("█") == LONGEST_BAR


def test_what_matters_least_is_left_out_first():
    progress = Progress("pulling 8eeb52dfb3bb", 42_000_000, 100_000_000)
    shown_at = {columns: bar_line(progress, columns, rate=5e6) for columns in (79, 64, 60, 40, 30, 20)}
    assert [shown_at[79].endswith("12s"), shown_at[64].endswith("5 MB/s")] == [True, True]
    assert shown_at[60].endswith("▏ 42 MB/100 MB")
    assert shown_at[40] == "pulling 8eeb52dfb3bb:  42% ▕████       ▏"
    assert shown_at[30] == "pulling 8eeb52dfb3bb:  42%"
    assert shown_at[20] == "pulling 8ee...:  42%"


def test_how_many_failed_stands_behind_the_bar():
    line = bar_line(Progress("photos", 3, 12, "photos"), 79, rate=0.5, note="1 failed")
    assert line.startswith("photos:  25% ▕")
    assert line.endswith("▏ 3/12   1 failed    0.50/s     18s")


def test_a_bar_of_ascii_characters_has_no_others():
    assert bar_line(Progress("x", 1, 2), 30, ascii_only=True) == "x:  50% [####     ] 1 B/2 B"


def test_what_would_move_the_cursor_is_not_written():
    assert "\x1b" not in bar_line(Progress("storing a\x1b[2Jb.gguf", 1, 2), 80)
    assert "\x1b" not in plain_line(Progress("storing a\x1b[2Jb.gguf", 1, 2))


@pytest.mark.parametrize(
    ("left", "rate", "expected"),
    [(12, 1, "12s"), (170, 1, "2m50s"), (3720, 1, "1h02m"), (10**9, 1, ""), (5, 0, "")],
)
def test_the_rest_of_the_time_is_told_where_it_is_known(left, rate, expected):
    line = plain_line(Progress("x", 0, left, "photos"), rate=rate)
    assert line.endswith(f", {expected} left" if expected else "photos" if not rate else "/s")


def test_a_rate_is_that_of_the_last_seconds():
    rate = Rate()
    assert rate.per_second == 0
    for second in range(100):
        rate.add(second, second if second < 50 else 50 + 10 * (second - 50))
    assert rate.per_second == 10


def test_a_rate_counts_from_where_a_step_goes_on():
    rate = Rate()
    rate.add(0, 900)
    rate.add(10, 1000)
    assert rate.per_second == 10
