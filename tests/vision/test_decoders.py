"""The decoders of all families say what the reference says, given the features that it computed."""

from __future__ import annotations

import numpy as np
import pytest
from models import Tiny, output_matrix, prompt_of
from references import load_cases

from olpipe.convert.package import check_convertible
from olpipe.families.table import family_named
from olpipe.families.vision_part import find_vision
from olpipe.testing.vision_models import FAMILIES, TEXT_MODELS

CASES = {f"{name}: {case}": (name, case) for name in (*FAMILIES, *TEXT_MODELS) for case in load_cases(name)}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return what converts a tiny model once."""
    made = {}

    def tiny(name):
        if name not in made:
            made[name] = Tiny.make(name, tmp_path_factory.mktemp(name))
        return made[name]

    return tiny


def rotary_of(model, case):
    """Return what gives the rotary positions of an image by its number, as the family makes them."""
    family = family_named(model.config.family)

    def rotary(number):
        height, width = case.images[number].shape[:2]
        return family.positions(model.config, family.fit(model.config, width, height, 4096))

    return rotary


def prompt(model, case):
    if case.features is None or not case.images:
        return prompt_of(case, None)
    family = family_named(model.config.family)
    vocabulary = model.runner().vocabulary
    placeholder = vocabulary.token_of(family.placeholder)
    return prompt_of(case, placeholder, rotary_of(model, case) if case.positions is not None else lambda _: None)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_logits_over_the_whole_vocabulary_are_those_of_the_reference(case, tiny):
    name, recorded = case
    model = tiny(name)
    hidden = model.hidden(prompt(model, recorded))
    for place, expected in recorded.logits.items():
        np.testing.assert_allclose(hidden[place] @ output_matrix(name).T, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "case", [one for one in CASES.values() if one[1].positions is not None and one[1].images], ids=str
)
def test_rotary_positions_are_those_of_the_reference(case, tiny):
    name, recorded = case
    np.testing.assert_array_equal(prompt(tiny(name), recorded).rotary_positions(), recorded.positions)


@pytest.mark.parametrize("name", [*FAMILIES, *TEXT_MODELS])
def test_the_check_by_the_header_lets_pass_what_is_converted(name, tiny):
    model = tiny(name)
    check_convertible(model.gguf, find_vision(model.gguf, model.projector))
