"""The families with square tiles compute what the reference computes: sizes, pixels and features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from references import load_cases, load_fittings

from olpipe.families.idefics3 import Idefics3
from olpipe.families.vision_part import find_vision
from olpipe.interfaces.vision import VisionConfig
from olpipe.testing.vision_models import write_vision_gguf

NAMES = ("idefics3", "llava", "gemma3")
CASES = {
    f"{name}: {case}": (name, case)
    for name in NAMES
    for case in load_cases(name)
    # An image that loses its edges is not what a LLaVA was trained with.
    if case.images and case.settings.get("pad", True)
}
UNLIMITED = 1 << 30
FITTINGS = load_fittings("idefics3")
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Return what converts a tiny vision encoder once, and gives its family, its sizes and a session."""
    made = {}

    def encoder(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            part = find_vision(*write_vision_gguf(name, folder))
            path = folder / "vision.onnx"
            part.family.write(part.tensors, part.config, path, eight_bits=False, done=lambda: None)
            made[name] = part.family, part.config, onnxruntime.InferenceSession(path)
        return made[name]

    return encoder


def larger(image):
    """Return the width and the height of an image that is so large that it fills any number of tiles."""
    height, width = image.shape[:2]
    return 1000 * width, 1000 * height


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_pixels_and_features_are_those_of_the_reference(case, encoder):
    name, recorded = case
    family, config, session = encoder(name)
    if "longest_edge" in recorded.settings:
        config = replace(config, most_pixels=recorded.settings["longest_edge"] ** 2)
    # 1. The reference cuts small images into as many tiles as large ones.
    fitted = [family.fit(config, *larger(image), UNLIMITED) for image in recorded.images]
    inputs = [family.inputs(config, image, one) for image, one in zip(recorded.images, fitted, strict=True)]
    pixels = [one["pixels"] for one in inputs]
    if len(recorded.pixels) < len(pixels):
        pixels = [np.concatenate(pixels)]
    for own, reference in zip(pixels, recorded.pixels, strict=True):
        assert own.shape == reference.shape
        np.testing.assert_allclose(own.reshape(-1)[reference.places], reference.values, rtol=0, atol=1e-6)
        assert own.mean() == pytest.approx(reference.mean, abs=1e-5)
        assert own.std() == pytest.approx(reference.std, abs=1e-5)
    # 2. The features.
    features = np.concatenate([session.run(["features"], one)[0] for one in inputs])
    assert len(features) == sum(one.tokens for one in fitted)
    np.testing.assert_allclose(features, recorded.features, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fitting", FITTINGS, ids=str)
def test_a_large_image_gets_the_tiles_that_the_reference_gives_it(fitting):
    tile, longest = fitting.settings["tile"], fitting.settings["longest_edge"]
    config = VisionConfig("Idefics3", tile, 8, 2, 1, 1, 1, 1, 1, 1e-6, HALF, HALF, most_pixels=longest * longest)
    fitted = Idefics3().fit(config, 4096 * fitting.width, 4096 * fitting.height, UNLIMITED)
    # The reference says that there are 0 columns and rows where an image is not cut.
    width, height, columns, rows = fitting.fitted
    assert (fitted.width, fitted.height) == (width, height)
    assert (fitted.columns, fitted.rows) == (max(columns, 1), max(rows, 1))
