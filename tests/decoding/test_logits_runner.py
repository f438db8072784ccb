"""The public door for backends, with a small model in numpy behind it."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.decoding.prompt import NARROWEST, Prompt, shareable
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.errors import ContextExceeded, UsageError
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.rendering import ChatRenderer, ImageSpan
from olpipe.generation import Completion, FinishReason, GenerateRequest, Guidance, SamplingParams
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart

LONGEST, WIDTH, PLACES = 1024, 12, 4
SCHEMA = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": {"type": "string"}}, "alt": {"type": "string", "maxLength": 20}},
    "required": ["tags", "alt"],
    "additionalProperties": False,
}
GUIDANCE = Guidance("json_schema", json.dumps(SCHEMA))
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "


class Model:
    """Random weights. What is said next depends on all that stands before it, photos included."""

    def __init__(self, size):
        random = np.random.default_rng(0)
        self._tokens = random.normal(size=(size, WIDTH))
        self._colours = random.normal(size=(3, WIDTH))
        self._places = np.cos(np.arange(LONGEST))[:, None]
        self._output = 3 * random.normal(size=(size, WIDTH))

    def rows(self, prompt, start):
        """Return what a KV cache holds of a prompt from some position on, (tokens, width)."""
        rows = self._tokens[list(prompt.tokens)]
        for image in prompt.images:
            shown = image.features["parts"] @ self._colours  # (places, width)
            rows[image.start : image.start + image.length] = shown[: image.length]
        return list((rows * self._places[: len(rows)])[start:])

    def logits(self, cache):
        recent = 0.98 ** np.arange(len(cache))[::-1]
        return (self._output @ (recent @ np.array(cache))).astype(np.float32)


class OneWaySequence:
    """A sequence that cannot forget. It notes how many tokens it ran in each forward."""

    def __init__(self, model, capacity):
        self._model, self.capacity = model, capacity
        self._prompt, self._cache = Prompt(()), []
        self.ran = []

    def prefill(self, prompt, start):
        assert start == len(self._cache)
        self._prompt = prompt
        return self._run(prompt, start)

    def decode(self, tokens):
        self._prompt = self._prompt.followed_by(tokens)
        return self._run(self._prompt, len(self._cache))

    def _run(self, prompt, start):
        self._cache += self._model.rows(prompt, start)
        assert start < len(self._cache) <= self.capacity
        self.ran.append(len(self._cache) - start)
        return self._model.logits(self._cache)


class Sequence(OneWaySequence):
    """A sequence that can forget its end."""

    def rewind(self, length):
        del self._cache[length:]


def features(image):
    """Return the mean colours of the quarters of a photo, (places, 3)."""
    halves = (part for half in np.array_split(image.pixels, 2) for part in np.array_split(half, 2, axis=1))
    return np.array([part.mean(axis=(0, 1)) / 255 for part in halves])


def show(image):
    """Stand placeholders between two markers for a photo: they are alike for every photo."""
    return ImageSpan((11, *[12] * PLACES, 13), 1, PLACES, image.digest(), {"parts": features(image)})


@pytest.fixture(scope="session")
def model(tiny):
    return Model(tiny.vocabulary.size)


@pytest.fixture
def load(tiny, model):
    def load(*, kind=Sequence, show_image=show, opened=None, context_length=400, embed=None):
        """Return a runner that sees; `opened` gets every sequence that it opens."""
        opened = [] if opened is None else opened

        def open_sequence(capacity):
            opened.append(kind(model, capacity))
            return opened[-1]

        files = TemplateFiles(TEMPLATE, {}, adds_begin=False)
        render = ChatRenderer(tiny.vocabulary, files, show_image=show_image)
        return LogitsRunner(
            tiny.vocabulary, open_sequence, render, context_length=context_length, fit_pixels=64, embed=embed
        )

    return load


def ask(*parts, guidance=None, **sampling):
    said = tuple(ImagePart(part) if isinstance(part, DecodedImage) else TextPart(part) for part in parts)
    params = SamplingParams(**{"max_tokens": 24, **sampling})
    return GenerateRequest("toy", (Message("user", said or (TextPart("the dog"),)),), params, guidance)


def photo(red, green, blue):
    return DecodedImage(np.full((4, 4, 3), (red, green, blue), np.uint8), 4, 4)


def chunks_of(runner, request):
    runner.start(1, runner.prepare(request))
    chunks = []
    while not chunks or chunks[-1].finish_reason is None:
        chunks += [chunk for _, chunk in runner.step()]
    return chunks


def complete(runner, request):
    return Completion.of(chunks_of(runner, request))


def naively(tiny, model, prompt, max_tokens):
    """Answer greedily: compute all there is anew for every token."""
    said = []
    while len(said) < max_tokens:
        token = int(model.logits(model.rows(prompt.followed_by(said), 0)).argmax())
        if token in tiny.vocabulary.end_tokens:
            break
        said.append(token)
    return said


def test_a_greedy_answer_is_the_likeliest_token_again_and_again(tiny, model, load):
    runner, request = load(), replace(ask("the dog"), top_logprobs=0)
    said = naively(tiny, model, runner.prepare(request).prompt, 24)
    answer = complete(runner, request)
    assert [value.token for value in answer.logprobs] == said
    assert answer.text == tiny.vocabulary.bytes_of(said).decode(errors="replace")
    assert len(said) > 5


def test_it_says_what_it_can_do(load):
    info = load().info
    assert (info.context_length, info.slots, info.fit_pixels) == (400, 1, 64)
    assert (info.generates, info.guidance, info.embeds) == (True, True, False)


def test_it_makes_vectors_with_the_function_that_it_was_given(load):
    asked, made = EmbedRequest("toy", ("the dog",)), Embeddings(np.ones((1, 1), np.float32), 2)
    runner = load(embed={asked: made}.__getitem__)
    assert runner.info.embeds
    assert runner.embed(asked) is made
    assert complete(runner, ask("the dog")).text == complete(load(), ask("the dog")).text


def test_without_such_a_function_it_makes_no_vectors(load):
    with pytest.raises(UsageError) as caught:
        load().embed(EmbedRequest("toy", ("the dog",)))
    assert caught.value.message == "`toy` makes no embeddings"


def test_every_answer_ends_with_what_it_cost(load):
    request = ask("the dog", max_tokens=6)
    *others, last = chunks_of(load(), request)
    assert all((chunk.finish_reason, chunk.usage, chunk.timings) == (None, None, None) for chunk in others)
    assert last.finish_reason is FinishReason.LENGTH
    assert (last.usage.sampled_tokens, last.usage.forced_tokens) == (6, 0)
    assert last.usage.prompt_tokens == load().prepare(request).prompt_tokens


def test_a_guided_answer_is_valid_with_what_is_known_in_its_place(load):
    guidance = replace(GUIDANCE, constants=(("tags", '["sea"]'),))
    answer = complete(load(), ask("the dog", guidance=guidance, temperature=1.0, seed=3, max_tokens=100))
    document = json.loads(answer.text)
    jsonschema.validate(document, SCHEMA)
    assert document["tags"] == ["sea"]
    assert answer.usage.spliced_tokens > 0


def test_a_guided_answer_is_whole_whatever_its_budget(load):
    for budget in (1, 9, 30):
        answer = complete(load(), ask("the dog", guidance=GUIDANCE, max_tokens=budget))
        jsonschema.validate(json.loads(answer.text), SCHEMA)


def test_a_stop_text_ends_a_free_answer_and_no_document(load):
    whole = complete(load(), ask("the dog", temperature=1.0, seed=5)).text
    stop = whole[3:5]
    assert complete(load(), ask("the dog", temperature=1.0, seed=5, stop=(stop,))).text == whole[: whole.index(stop)]
    guided = complete(load(), ask("the dog", guidance=GUIDANCE, stop=('"',), max_tokens=60))
    jsonschema.validate(json.loads(guided.text), SCHEMA)


def test_probabilities_are_the_softmax_of_the_models_logits(tiny, model, load):
    runner, request = load(), replace(ask("the dog"), top_logprobs=3)
    prompt = runner.prepare(request).prompt
    answer = complete(runner, request)
    for at, value in enumerate(answer.logprobs):
        said = [one.token for one in answer.logprobs[:at]]
        logits = model.logits(model.rows(prompt.followed_by(said), 0)).astype(np.float64)
        expected = logits - np.log(np.exp(logits).sum())
        assert value.raw == value.constrained == pytest.approx(expected[value.token])
        assert [one.token for one in value.top_raw] == list(np.argsort(-expected)[:3])
    assert complete(runner, replace(request, top_logprobs=None)).logprobs == ()


def test_words_to_avoid_are_not_said(tiny, load):
    request = ask("a", logit_bias=tuple((token, 50.0) for token in tiny.vocabulary.encode(" dog")))
    assert "dog" in complete(load(), request).text
    assert "dog" not in complete(load(), replace(request, avoid=("dog",))).text


def test_a_prompt_that_fills_the_context_is_refused(load):
    with pytest.raises(ContextExceeded, match=r"the prompt has \d+ tokens, and `toy` holds 400") as caught:
        load().prepare(ask("the dog " * 300))
    assert "OLLAMA_CONTEXT_LENGTH" in caught.value.hint


def test_a_second_sequence_is_refused(load):
    runner = load()
    runner.start(1, runner.prepare(ask()))
    with pytest.raises(ValueError, match="this runner has one slot, and it is taken"):
        runner.start(2, runner.prepare(ask()))


def test_images_are_refused_where_the_model_does_not_see(load):
    with pytest.raises(UsageError, match="model `toy` cannot see images"):
        load(show_image=None).prepare(ask(photo(0, 0, 200), "what?"))


# --- what requests share ---


def test_a_prompt_that_begins_like_the_one_before_runs_from_where_it_differs(load):
    opened = []
    runner = load(opened=opened)
    first, second = ask("the dog on the street"), ask("the dog on the photo")
    complete(runner, first)
    complete(runner, second)  # tries whether cut prompts are exact
    (sequence,) = (one for one in opened if len(one.ran) > 1)
    forwards = len(sequence.ran)
    answer = complete(runner, first)
    prompt = runner.prepare(first).prompt
    alike = shareable(prompt.identity, runner.prepare(second).prompt.identity)
    assert answer.timings.reused_tokens == alike > 0
    assert sequence.ran[forwards] == len(prompt) - alike


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0, "seed": 4}])
@pytest.mark.parametrize("guidance", [None, GUIDANCE])
def test_an_answer_does_not_depend_on_what_was_kept(load, sampling, guidance):
    requests = [ask(f"the dog {what}", guidance=guidance, **sampling) for what in ("and", "is", "is", "and the cat")]
    runner = load()
    together = [complete(runner, request) for request in requests]
    alone = [complete(load(), request) for request in requests]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert [answer.timings.reused_tokens > 0 for answer in together] == [False, True, True, True]


def test_a_sequence_that_cannot_forget_serves_one_request(load):
    opened = []
    runner = load(kind=OneWaySequence, opened=opened)
    answers = [complete(runner, ask("the dog")) for _ in range(3)]
    assert [answer.timings.reused_tokens for answer in answers] == [0, 0, 0]
    assert len({answer.text for answer in answers}) == 1
    assert len(opened) == 3


def test_a_cancelled_answer_leaves_its_prompt_to_the_next(load):
    runner = load()
    runner.start(1, runner.prepare(ask("the dog", max_tokens=200)))
    runner.step()
    runner.stop(1)
    answer = complete(runner, ask("the dog"))
    assert answer.timings.reused_tokens > 0
    assert answer.text == complete(load(), ask("the dog")).text


def test_a_closed_runner_keeps_nothing(load):
    opened = []
    runner = load(opened=opened)
    complete(runner, ask("the dog"))
    runner.close()
    assert complete(runner, ask("the dog")).timings.reused_tokens == 0
    assert len(opened) == 2


SEA, STREET = photo(20, 60, 220), photo(250, 240, 10)


# (tokens that all sequences may hold, prompt tokens that each of four requests takes over, as a function of where the
# photo begins and of all but the narrowest rest): with room for one sequence photos take turns, with more they do not.
SHARED = [(400, lambda photo, most: [0, photo, photo, photo]), (1024, lambda photo, most: [0, 0, most, most])]


@pytest.mark.parametrize("guidance", [None, GUIDANCE])
@pytest.mark.parametrize(("context_length", "shared"), SHARED)
def test_two_photos_whose_prompts_have_equal_tokens_are_answered_as_when_asked_alone(
    load, guidance, context_length, shared
):
    runner = load(context_length=context_length)
    requests = [ask("the photo:", image, " say what it is", guidance=guidance) for image in (SEA, STREET, SEA, STREET)]
    prompts = [runner.prepare(request).prompt for request in requests]
    assert prompts[0].tokens == prompts[1].tokens
    alone = [complete(load(), request).text for request in requests]
    assert alone[0] != alone[1]
    together = [complete(runner, request) for request in requests]
    assert [answer.text for answer in together] == alone
    expected = shared(prompts[0].images[0].start, len(prompts[0]) - NARROWEST)
    assert [answer.timings.reused_tokens for answer in together] == expected


def test_the_same_photo_with_another_question_is_not_run_again(load):
    runner = load()
    complete(runner, ask(SEA, "is it the sea"))
    complete(runner, ask(SEA, "is it blue"))
    request = ask(SEA, "is it a dog")
    answer = complete(runner, request)
    (image,) = runner.prepare(request).prompt.images
    assert answer.timings.reused_tokens >= image.start + image.length
    assert answer.text == complete(load(), request).text


def test_this_model_would_tell_if_photos_were_confused(load):
    """With one digest for all photos the second answer is about the first: so the tests above can fail."""
    confused = load(show_image=lambda image: replace(show(image), digest="the same"))
    for text in ("the dog", "the cat"):  # from here on cut prompts are known to be exact
        complete(confused, ask(text))
    requests = [ask("the photo:", image, " say what it is") for image in (SEA, STREET)]
    assert complete(confused, requests[0]).text == complete(load(), requests[0]).text
    assert complete(confused, requests[1]).text != complete(load(), requests[1]).text
