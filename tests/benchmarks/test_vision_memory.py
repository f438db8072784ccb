"""The measure of `benchmarks/vision_memory.py`, and a slice of what it measures."""

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from vision_memory import WARM_UP, loaded, measure, photos, slope  # noqa: E402

from olpipe.model import LoadOptions  # noqa: E402


def test_the_slope_is_in_kilobytes_a_photo():
    assert slope([(at, 5_000_000 + 2_000 * at) for at in range(100, 1000, 50)]) == pytest.approx(2)
    assert slope([(at, 5_000_000) for at in range(100, 1000, 50)]) == pytest.approx(0, abs=1e-6)


def test_photos_have_many_sizes_or_one():
    def sizes(**options):
        return [Image.open(io.BytesIO(data)).size for data in photos(12, **options)]

    assert len(set(sizes(one_size=False))) == 12
    assert len(set(sizes(one_size=True))) == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process's memory")
@pytest.mark.parametrize("family", ["qwen3_vl", "gemma3"])
def test_memory_stays_flat_over_many_photos(family):
    with loaded(family, None) as model:
        samples = list(measure(model, photos(500, one_size=False), LoadOptions(), 8))
    assert slope([(one.photos, one.model - one.kept) for one in samples if one.photos >= WARM_UP]) <= 10
