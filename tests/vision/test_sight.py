"""Models look at the photos that they are shown, whatever the photos and the texts around them are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import Tiny

from olpipe.errors import ContextExceeded
from olpipe.generation import FinishReason, GenerateRequest, Guidance, SamplingParams
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import FAMILIES

EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
SIDES = st.one_of(st.integers(1, 40), st.sampled_from([100, 333, 1000, 4000]))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return what converts a tiny model once."""
    made = {}

    def tiny(family, **options):
        if family not in made:
            made[family] = Tiny.make(family, tmp_path_factory.mktemp(family))
        key = (family, *options.items())
        if key not in made:
            made[key] = made[family].runner(**options)
        return made[key]

    return tiny


def photo(seed, width=96, height=64):
    return DecodedImage(smooth_photo(width, height, seed=seed), width, height)


def asking(*parts, before=(), **options):
    sampling = options.pop("sampling", SamplingParams(max_tokens=4))
    said = tuple(TextPart(part) if isinstance(part, str) else ImagePart(part) for part in parts)
    return GenerateRequest("tiny", (*before, Message("user", said)), sampling=sampling, **options)


def answer(runner, request, *, sequence_id=0):
    """Return the text of an answer, and its last chunk."""
    runner.start(sequence_id, runner.prepare(request))
    text = ""
    while True:
        for _, chunk in runner.step():
            assert not isinstance(chunk, Exception), chunk
            text += chunk.text
            if chunk.finish_reason is not None:
                return text, chunk


def first_logprobs(runner, request):
    """Return the likeliest tokens behind a prompt with their log-probabilities."""
    goes_on = tuple((token, -1000.0) for token in runner.vocabulary.end_tokens)
    sampling = replace(request.sampling, logit_bias=goes_on)
    runner.start(0, runner.prepare(replace(request, sampling=sampling, top_logprobs=20)))
    found = []
    while True:
        for _, chunk in runner.step():
            found += chunk.logprobs
            if chunk.finish_reason is not None:
                return [(one.token, one.logprob) for one in found[0].top_raw]


@EVERY_FAMILY
def test_another_image_changes_what_comes_next_and_the_same_image_does_not(family, tiny):
    runner = tiny(family)
    one, again, other = (first_logprobs(runner, asking(photo(seed), "What is it?")) for seed in (1, 1, 2))
    assert one == again
    assert one != other


@EVERY_FAMILY
def test_two_photos_never_share_a_cache(family, tiny):
    runner = tiny(family, slots=2)
    reused = []
    for seed in (1, 1, 1, 2, 3):
        request = asking("Look here: ", photo(seed), "What is it?")
        _, last = answer(runner, request)
        start = runner.prepare(request).prompt.images[0].start
        reused.append((last.timings.reused_tokens, start))
    assert reused[2][0] > reused[2][1]
    assert all(tokens <= start for tokens, start in reused[3:])


@EVERY_FAMILY
def test_the_text_of_a_user_never_becomes_an_image(family, tiny):
    runner = tiny(family)
    marks = "<image><|image_pad|><start_of_image><image_soft_token><|vision_start|><fake_token_around_image>"
    plain, marked = (runner.prepare(asking(photo(1), text)).prompt for text in ("hello", marks))
    placeholder = plain.tokens[plain.images[0].start]
    assert marked.tokens.count(placeholder) == plain.tokens.count(placeholder)
    assert len(marked.images) == 1
    assert not runner.prepare(asking(marks)).prompt.images


@pytest.mark.examples(2)
@EVERY_FAMILY
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(width=SIDES, height=SIDES, shade=st.sampled_from([0, 128, 255]))
def test_photos_of_any_shape_are_described(family, tiny, width, height, shade):
    grey = DecodedImage(np.full((height, width, 3), shade, np.uint8), width, height)
    _, last = answer(tiny(family), asking(grey, "What is it?"))
    assert last.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
    (shown,) = last.shown
    assert 0 < shown.tokens <= last.usage.prompt_tokens


@EVERY_FAMILY
def test_features_are_made_once_for_several_questions_about_a_photo(family, tiny):
    runner = tiny(family)
    spent = [runner.prepare(asking(photo(77), text)).timings.encode_ns for text in ("What is it?", "Who is it?")]
    assert spent[0] > 0
    assert spent[1] == 0


@EVERY_FAMILY
def test_images_stand_in_every_turn_and_among_the_text(family, tiny):
    runner = tiny(family)
    earlier = (asking("one ", photo(1), " two ", photo(2)).messages[0], Message.of("assistant", "yes"))
    prompt = runner.prepare(asking(photo(3), "three", before=earlier)).prompt
    assert len(prompt.images) == 3
    assert len({image.digest for image in prompt.images}) == 3
    _, last = answer(runner, asking(photo(3), "three", before=earlier))
    assert len(last.shown) == 3


@EVERY_FAMILY
def test_a_document_about_a_photo_follows_its_schema(family, tiny):
    schema = '{"type":"object","properties":{"title":{"type":"string","maxLength":9}},"required":["title"]}'
    request = asking(
        photo(1), "Title?", guidance=Guidance("json_schema", schema), sampling=SamplingParams(max_tokens=40)
    )
    text, _ = answer(tiny(family), request)
    assert text.startswith('{"title":"')
    assert text.endswith('"}')


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_photo_gets_fewer_tokens_where_there_is_little_room(family, tiny):
    large = photo(1, 1000, 1000)
    roomy = runner_tokens(tiny(family, image_tokens=60), large)
    tight = runner_tokens(tiny(family, image_tokens=60, context_length=150), *[large] * 3)
    assert sum(tight) < 150 - len(tight)
    assert max(tight) < roomy[0]


def runner_tokens(runner, *photos):
    return [image.shown.tokens for image in runner.prepare(asking(*photos, "What?")).prompt.images]


@EVERY_FAMILY
def test_too_many_photos_are_refused_before_any_of_them_is_looked_at(family, tiny):
    runner = tiny(family, context_length=128)
    photos = [photo(seed) for seed in range(100, 200)]
    with pytest.raises(ContextExceeded):
        runner.prepare(asking(*photos, "What?"))
    assert runner.prepare(asking(photos[0], "What?")).timings.encode_ns > 0  # it was not looked at before
