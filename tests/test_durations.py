"""Lengths of time as people write them to Ollama."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.durations import duration, keep_alive


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # Source: https://github.com/golang/go/blob/master/src/time/time_test.go, parseDurationTests
        ("0", 0),
        ("5s", 5),
        ("30s", 30),
        ("1478s", 1478),
        ("-5s", -5),
        ("+5s", 5),
        ("-0", 0),
        ("+0", 0),
        ("5.0s", 5),
        ("5.6s", 5.6),
        ("5.s", 5),
        (".5s", 0.5),
        ("1.0s", 1),
        ("1.004s", 1.004),
        ("100.00100s", 100.001),
        ("10ns", 10e-9),
        ("11us", 11e-6),
        ("12µs", 12e-6),  # U+00B5
        ("12\u03bcs", 12e-6),
        ("13ms", 13e-3),
        ("14s", 14),
        ("15m", 900),
        ("16h", 57600),
        ("3h30m", 12600),
        ("10.5s4m", 250.5),
        ("-2m3.4s", -123.4),
        ("1h2m3s4ms5us6ns", 3723.004005006),
        ("39h9m14.425s", 140954.425),
    ],
)
def test_durations_are_read_as_go_reads_them(text, seconds):
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "3", "-", "s", ".", "-.", ".s", "+.s", "1d", "1w", "1y", "1h 2m", " 1s", "1s ", "1S", "--1s", "1e3s"]
)
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a duration; write one like `10m` or `1h30m`") as caught:
        duration(text)
    assert f"`{text}`" in str(caught.value)


@given(st.integers(0, 10**6), st.sampled_from("hms"))
def test_a_number_with_a_unit_counts_in_that_unit(number, unit):
    expected = number * {"h": 3600, "m": 60, "s": 1}[unit]
    assert duration(f"{number}{unit}") == pytest.approx(expected)
    assert duration(f"-{number}{unit}") == pytest.approx(-expected)


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300), ("0", 0), ("-1", -1), ("10m", 600), ("-1m", -60), ("0s", 0), ("1h30m", 5400)]
)
def test_how_long_a_model_stays_is_a_duration_or_a_number_of_seconds(text, seconds):
    assert keep_alive(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1.5", "1d", "forever", "٣"])
def test_how_long_a_model_stays_is_nothing_else(text):
    with pytest.raises(ValueError, match="is not a duration"):
        keep_alive(text)
