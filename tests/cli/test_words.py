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


def test_times_are_past_or_to_come():
    assert words.time(1000, 1300) == "5 minutes ago"
    assert words.time(1300, 1000) == "5 minutes from now"
    assert words.time(1000 + 21 * 365 * DAY, 1000) == "Forever"


def test_a_table_is_left_aligned_without_trailing_spaces():
    assert words.table([("NAME", "ID"), ("a-long-name", "x")], indent=">") == ">NAME           ID\n>a-long-name    x"
