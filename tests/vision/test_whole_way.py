"""From the pixels of photos and the texts around them to logits: the whole way says what the reference says."""

from __future__ import annotations

import numpy as np
import pytest
from models import MANY_TOKENS, Tiny, output_matrix
from references import load_cases

from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.rows import Rows
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart

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


def request_of(case, **options):
    """Return the request that asks what a recorded conversation asks."""
    images = iter(case.images)
    messages = []
    for number, turn in enumerate(case.turns):
        parts = [ImagePart(decoded(next(images))) if part is None else TextPart(part) for part in turn]
        messages.append(Message("assistant" if number % 2 else "user", tuple(parts)))
    return GenerateRequest("tiny", tuple(messages), sampling=SamplingParams(max_tokens=8), **options)


def decoded(pixels):
    return DecodedImage(pixels, width=pixels.shape[1], height=pixels.shape[0])


def rows_of(model, slots=4):
    return Rows(
        lambda rows, length: Cache(model.session, rows=rows, length=length, window=model.window),
        slots=slots,
        context_length=2048,
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_prompts_and_logits_are_those_of_the_reference(case, tiny):
    name, recorded = case
    model, runner = tiny(name)
    prepared = runner.prepare(request_of(recorded))
    assert prepared.prompt.tokens == recorded.token_ids
    row = rows_of(model).take(prepared.prompt, prepared.room)
    logits = row.prefill(prepared.prompt)
    np.testing.assert_allclose(logits, recorded.logits[len(recorded.token_ids) - 1], rtol=0, atol=1e-4)
    assert output_matrix(name).shape[0] == len(logits)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_turn_takes_over_the_first_with_its_image(name, tiny):
    model, runner = tiny(name)
    recorded = next(case for case in load_cases(name) if case.name == "a second turn")
    whole = request_of(recorded)
    first = GenerateRequest("tiny", whole.messages[:1], sampling=whole.sampling)
    rows = rows_of(model)
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
    prompt = runner.prepare(request_of(recorded)).prompt
    rows = rows_of(model)
    others = [rows.take(runner.prepare(request_of(load_cases(name)[0])).prompt, 200) for _ in range(2)]
    row = rows.take(prompt, 200)
    row.prefill(prompt)
    for other in others:
        other.prefill(runner.prepare(request_of(load_cases(name)[0])).prompt)
    stepped = rows.forward([(row, 11), *((other, 12) for other in others)])[0]
    np.testing.assert_allclose(stepped, model_logits(model, name, prompt.followed_by([11])), rtol=0, atol=1e-4)
    forced = row.decode([13, 14, 15])
    whole = prompt.followed_by([11, 13, 14, 15])
    np.testing.assert_allclose(forced, model_logits(model, name, whole), rtol=0, atol=1e-4)


def model_logits(model, name, prompt):
    return model.hidden(prompt)[-1] @ output_matrix(name).T
