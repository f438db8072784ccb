"""From the pixels of photos and the texts around them to logits: the whole way says what the reference says."""

from __future__ import annotations

import numpy as np
import pytest
from models import MANY_TOKENS, Tiny, output_matrix, request_of
from references import load_cases

from olpipe.generation import GenerateRequest

# LLaVA and Idefics3 are shown photos in other sizes than the reference shows them: docs/vision.md says why.
NAMES = ("qwen2_5_vl", "qwen3_vl", "gemma3")
CASES = {f"{name}: {case}": (name, case) for name in NAMES for case in load_cases(name)}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return what converts a tiny model once, and gives it with its runner."""
    made = {}

    def tiny(name):
        if name not in made:
            model = Tiny.make(name, tmp_path_factory.mktemp(name))
            made[name] = model, model.runner(image_tokens=MANY_TOKENS)
        return made[name]

    return tiny


def asked(case):
    """Return the request of a recorded conversation."""
    return request_of(case.turns, case.images)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_prompts_and_logits_are_those_of_the_reference(case, tiny):
    name, recorded = case
    model, runner = tiny(name)
    prepared = runner.prepare(asked(recorded))
    assert prepared.prompt.tokens == recorded.token_ids
    row = model.rows().take(prepared.prompt, prepared.room)
    logits = row.prefill(prepared.prompt)
    np.testing.assert_allclose(logits, recorded.logits[len(recorded.token_ids) - 1], rtol=0, atol=1e-4)
    assert output_matrix(name).shape[0] == len(logits)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_turn_takes_over_the_first_with_its_image(name, tiny):
    model, runner = tiny(name)
    recorded = next(case for case in load_cases(name) if case.name == "a second turn")
    whole = asked(recorded)
    first = GenerateRequest("tiny", whole.messages[:1], sampling=whole.sampling)
    rows = model.rows()
    for request in (first, first, whole):  # the second one tests whether prompts may be cut
        prepared = runner.prepare(request)
        row = rows.take(prepared.prompt, prepared.room)
        logits = row.prefill(prepared.prompt)
        rows.release(row)
    assert row.reused >= prepared.prompt.images[0].end
    np.testing.assert_allclose(logits, recorded.logits[len(recorded.token_ids) - 1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_decoding_goes_on_where_the_prompt_ended(name, tiny):
    """What is decoded behind a prompt gives the logits that it has as a part of the prompt."""
    model, runner = tiny(name)
    recorded = next(case for case in load_cases(name) if case.name == "two images")
    prompt = runner.prepare(asked(recorded)).prompt
    rows = model.rows()
    others = [rows.take(runner.prepare(asked(load_cases(name)[0])).prompt, 200) for _ in range(2)]
    row = rows.take(prompt, 200)
    row.prefill(prompt)
    for other in others:
        other.prefill(runner.prepare(asked(load_cases(name)[0])).prompt)
    stepped = rows.forward([(row, 11), *((other, 12) for other in others)])[0]
    np.testing.assert_allclose(stepped, model_logits(model, name, prompt.followed_by([11])), rtol=0, atol=1e-4)
    forced = row.decode([13, 14, 15])
    whole = prompt.followed_by([11, 13, 14, 15])
    np.testing.assert_allclose(forced, model_logits(model, name, whole), rtol=0, atol=1e-4)


def model_logits(model, name, prompt):
    return model.hidden(prompt)[-1] @ output_matrix(name).T
