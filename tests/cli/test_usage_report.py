"""How `--verbose` writes lengths of time: as Go does it."""

import pytest

from olpipe.cli.usage_report import duration


# Source: https://cs.opensource.google/go/go/+/refs/heads/master:src/time/time_test.go, durationTests
@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (4 * 60_000_000_000 + 5_000_000_000, "4m5s"),
        (4 * 60_000_000_000 + 5_001_000_000, "4m5.001s"),
        (5 * 3_600_000_000_000 + 6 * 60_000_000_000 + 7_001_000_000, "5h6m7.001s"),
        (8 * 60_000_000_000 + 1, "8m0.000000001s"),
        ((1 << 63) - 1, "2562047h47m16.854775807s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds, text):
    assert duration(nanoseconds) == text
