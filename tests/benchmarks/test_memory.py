"""The measure of `benchmarks/memory.py`, and a slice of what it measures."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from memory import loaded, measure, slope  # noqa: E402


def test_the_slope_is_in_kilobytes_a_request_and_one_step_does_not_decide():
    assert slope([(at, 5_000_000 + 2_000 * at) for at in range(100, 1000, 10)]) == pytest.approx(2)
    assert slope([(at, 5_000_000 + (9_000_000 if at > 300 else 0)) for at in range(100, 1000, 10)]) == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process's memory")
def test_memory_stays_flat_over_many_requests():
    with loaded("tiny") as engine:
        samples = list(measure(engine, "tiny", 300, 32))
    for part in (1, 2):
        assert slope([(sample[0], sample[part]) for sample in samples if sample[0] >= 100]) <= 10
