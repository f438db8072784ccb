"""What `benchmarks/vision_precision.py` measures with, on tiny models."""

import sys
from pathlib import Path

import numpy as np

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from vision_precision import Differences, between_steps, measure  # noqa: E402

from olpipe.decoding.prompt import PlacedImage, Prompt  # noqa: E402
from olpipe.testing.vision.photos import smooth_photo  # noqa: E402
from olpipe.testing.vision_models import write_vision_gguf  # noqa: E402


def prompt(features):
    return Prompt((1, 2), (PlacedImage(0, 1, "", {"features": np.array(features, np.float32)}),))


def test_differences_are_those_of_features_and_of_the_answers_behind_them():
    differences = Differences()
    # Two tokens with probabilities of 3/4 and 1/4, and the other way round.
    likely, unlikely = np.log(np.array([[3.0, 1.0], [1.0, 3.0]], np.float32))
    logits = np.array([likely, likely]), np.array([likely, unlikely])
    differences.add(prompt([[3, 4]]), prompt([[3, 3]]), logits)
    assert differences.summary() == {
        "features_error_mean": 0.2,
        "features_error_largest": 0.2,
        "other_top1": 0.5,
        "tokens": 2,
        "largest_logprob_difference": 1.1,  # ln 3
    }


def test_weights_are_moved_between_the_steps_that_they_had():
    values = np.random.default_rng(0).integers(-127, 128, (8, 32)).astype(np.float32) / 64
    moved = between_steps(values, np.random.default_rng(1))
    assert 0.4 / 64 < np.abs(moved - values).max() <= 0.5 / 64


def test_eight_bits_of_the_encoder_change_what_comes_behind_a_photo_a_little(tmp_path):
    gguf, projector = write_vision_gguf("qwen3_vl", tmp_path)
    differences = Differences()
    measure(gguf, projector, tmp_path / "packages", [smooth_photo(96, 64, seed=1)], differences)
    summary = differences.summary()
    assert 1e-4 < summary["features_error_largest"] < 0.05
    assert summary["tokens"] > 20
    assert 0 < summary["largest_logprob_difference"] < 1
