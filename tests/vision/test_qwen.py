"""Qwen2.5-VL and Qwen3-VL compute what the reference computes: sizes, pixels, features and positions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from references import load_cases, load_fittings

from olpipe.families.table import family_named
from olpipe.families.vision_part import find_vision
from olpipe.interfaces.vision import VisionConfig
from olpipe.testing.vision.qwen3_vl import WORDS
from olpipe.testing.vision_models import write_vision_gguf

NAMES = ("qwen2_5_vl", "qwen3_vl")
CASES = {f"{name}: {case}": (name, case) for name in NAMES for case in load_cases(name) if case.images}
FITTINGS = {f"{name}: {fitting}": (name, fitting) for name in NAMES for fitting in load_fittings(name)}
PLACEHOLDER = WORDS.tokens().index("<|image_pad|>")
UNLIMITED = 1 << 30
HALF = (0.5, 0.5, 0.5)
ANY = {
    "qwen2_5_vl": VisionConfig("Qwen2.5-VL", 560, 14, 2, 1, 1, 8, 8, 8, 1e-6, HALF, HALF, window=112),
    "qwen3_vl": VisionConfig("Qwen3-VL", 768, 16, 2, 1, 1, 8, 8, 8, 1e-6, HALF, HALF),
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Return what converts a tiny vision encoder once, and gives its family, its sizes and a session."""
    made = {}

    def encoder(name, *, eight_bits=False):
        if (name, eight_bits) not in made:
            folder = tmp_path_factory.mktemp(name)
            part = find_vision(*write_vision_gguf(name, folder))
            path = folder / "vision.onnx"
            part.family.write(part.tensors, part.config, path, eight_bits=eight_bits, done=lambda: None)
            made[name, eight_bits] = part.family, part.config, onnxruntime.InferenceSession(path)
        return made[name, eight_bits]

    return encoder


def fitted_inputs(encoder, recorded):
    """Return how each image is fitted, and what the vision encoder gets for it."""
    family, config, _ = encoder
    fitted = [family.fit(config, image.shape[1], image.shape[0], UNLIMITED) for image in recorded.images]
    return fitted, [family.inputs(config, *pair) for pair in zip(recorded.images, fitted, strict=True)]


def in_place(inputs, fitted, patch):
    """Return patches as the image that they were cut from, (1, 3, height, width)."""
    patches = inputs["patches"].reshape(fitted.tokens, 4, -1)
    patches = patches[inputs["token_places"]] if "token_places" in inputs else patches
    parts = patches.reshape(fitted.height // patch // 2, fitted.width // patch // 2, 2, 2, 3, patch, patch)
    return parts.transpose(4, 0, 2, 5, 1, 3, 6).reshape(1, 3, fitted.height, fitted.width)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_pixels_are_those_of_the_reference(case, encoder):
    name, recorded = case
    fitted, inputs = fitted_inputs(encoder(name), recorded)
    assert len(inputs) == len(recorded.pixels)
    for one, size, reference in zip(inputs, fitted, recorded.pixels, strict=True):
        pixels = in_place(one, size, ANY[name].patch_size)
        assert pixels.shape == reference.shape
        np.testing.assert_allclose(pixels.reshape(-1)[reference.places], reference.values, rtol=0, atol=1e-6)
        assert pixels.mean() == pytest.approx(reference.mean, abs=1e-5)
        assert pixels.std() == pytest.approx(reference.std, abs=1e-5)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_features_are_those_of_the_reference(case, encoder):
    name, recorded = case
    _, _, session = encoder(name)
    fitted, inputs = fitted_inputs(encoder(name), recorded)
    outputs = [session.run(None, one) for one in inputs]
    assert [len(one[0]) for one in outputs] == [one.tokens for one in fitted]
    features = np.concatenate([one[0] for one in outputs])
    np.testing.assert_allclose(features, recorded.features, rtol=0, atol=1e-5)
    assert (len(outputs[0]) > 1) == (recorded.deepstack is not None)
    if recorded.deepstack is not None:
        deepstack = np.concatenate([one[1] for one in outputs], axis=1)
        np.testing.assert_allclose(deepstack, recorded.deepstack, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_features_with_eight_bits_are_near_those_of_the_reference(case, encoder):
    name, recorded = case
    _, _, session = encoder(name, eight_bits=True)
    _, inputs = fitted_inputs(encoder(name, eight_bits=True), recorded)
    features = np.concatenate([session.run(["features"], one)[0] for one in inputs])
    error = np.sqrt(((features - recorded.features) ** 2).mean()) / recorded.features.std()
    assert error < 0.05


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_positions_are_those_of_the_reference(case, encoder):
    name, recorded = case
    family, config, _ = encoder(name)
    fitted, _ = fitted_inputs(encoder(name), recorded)
    is_image = np.array(recorded.token_ids) == PLACEHOLDER
    starts = np.flatnonzero(is_image & ~np.roll(is_image, 1))
    for start, size in zip(starts, fitted, strict=True):
        own = family.positions(config, size)
        reached = recorded.positions[0, start - 1] + 1
        np.testing.assert_array_equal(own + reached, recorded.positions[:, start : start + size.tokens])
        assert (recorded.positions[:, start + size.tokens] == reached + own.max() + 1).all()


@pytest.mark.parametrize("case", FITTINGS.values(), ids=FITTINGS.keys())
def test_images_get_the_size_that_the_reference_gives_them(case):
    name, fitting = case
    config = replace(
        ANY[name],
        least_pixels=fitting.settings["least_pixels"],
        most_pixels=fitting.settings["most_pixels"],
    )
    fitted = family_named(config.family).fit(config, fitting.width, fitting.height, UNLIMITED)
    if fitting.fitted is None:  # the reference refuses an image with a side more than 200 times as long as the other
        assert max(fitting.width, fitting.height) > 200 * min(fitting.width, fitting.height)
        assert min(fitted.width, fitted.height) == fitting.settings["cell"]
    else:
        # The reference gives an image with a side of one cell more pixels than it says. We do not.
        longest = fitting.settings["most_pixels"] // fitting.settings["cell"]
        assert (fitted.width, fitted.height) == tuple(min(side, longest) for side in fitting.fitted)
