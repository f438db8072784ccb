import pytest

from olpipe.cli import words

DAY = 86400


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 KB"), (1500, "1.5 KB"), (9999, "10.0 KB"), (10_500, "10 KB"),
        (98_362_817, "98 MB"), (397_000_000, "397 MB"), (999_999_999, "999 MB"), (10**9, "1 GB"),
        (4_661_224_676, "4.7 GB"), (10**12, "1 TB"), (25 * 10**12, "25 TB"),
    ],
)  # fmt: skip
def test_sizes_read_as_ollama_writes_them(count, text):
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"), (0.9, "Less than a second"), (1, "1 second"), (1.9, "1 second"),
        (59.9, "59 seconds"), (60, "About a minute"), (119, "About a minute"), (120, "2 minutes"), (3599, "59 minutes"),
        (3600, "About an hour"), (5400, "2 hours"), (47 * 3600, "47 hours"), (2 * DAY, "2 days"), (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"), (59 * DAY, "8 weeks"), (60 * DAY, "2 months"), (729 * DAY, "24 months"),
        (730 * DAY, "2 years"), (1500 * DAY, "4 years"),
    ],
)  # fmt: skip
def test_durations_read_as_ollama_writes_them(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second ago"), (-3600, "About an hour ago"), (-3 * DAY, "3 days ago"),
        (-21 * DAY, "3 weeks ago"), (-30 * 365 * DAY, "30 years ago"), (290, "4 minutes from now"),
        (3600, "About an hour from now"), (19 * 365 * DAY, "19 years from now"), (292 * 365 * DAY, "Forever"),
    ],
)  # fmt: skip
def test_times_read_as_ollama_writes_them(seconds, text):
    assert words.time(1000 + seconds, 1000) == text


def test_times_are_past_or_to_come():
    assert words.time(1000, 1300) == "5 minutes ago"
    assert words.time(1300, 1000) == "5 minutes from now"
    assert words.time(1000 + 21 * 365 * DAY, 1000) == "Forever"


def test_a_table_is_left_aligned_without_trailing_spaces():
    assert words.table([("NAME", "ID"), ("a-long-name", "x")], indent=">") == ">NAME           ID\n>a-long-name    x"


ROWS = [("NAME", "MEANING"), ("a", "one two three four five six seven"), ("long-name", "short")]


def test_a_table_in_a_pipe_has_a_line_for_each_row_however_long():
    assert words.screen_columns() == 0
    assert [len(line) for line in words.table(ROWS).split("\n")] == [20, 46, 18]


def test_a_table_on_a_terminal_breaks_its_last_column_between_words():
    assert words.table(ROWS, columns=40).split("\n") == [
        "NAME         MEANING",
        "a            one two three four five six",
        "             seven",
        "long-name    short",
    ]


def test_a_table_on_a_narrow_terminal_has_its_last_column_below():
    assert words.table(ROWS, indent=" ", columns=29).split("\n") == [
        " NAME",
        "         MEANING",
        " a",
        "         one two three four",
        "         five six seven",
        " long-name",
        "         short",
    ]


def test_a_table_that_fits_is_left_as_it_is():
    assert words.table(ROWS, columns=80) == words.table(ROWS)


@pytest.mark.parametrize("columns", [1, 2, 9, 13])
def test_a_terminal_that_is_too_narrow_for_a_word_gets_the_word(columns):
    assert "seven" in words.table(ROWS, columns=columns)


def test_wide_characters_and_colours_do_not_shift_columns():
    rows = [("图像", "x"), ("\x1b[32mab\x1b[0m", "y"), ("abcd", "z")]
    assert [line[-1] for line in words.table(rows).split("\n")] == ["x", "y", "z"]
    assert words.table(rows).split("\n")[0] == "图像    x"
    assert words.table(rows).split("\n")[1] == "\x1b[32mab\x1b[0m      y"


def test_a_table_without_rows_is_empty():
    assert words.table([]) == ""
