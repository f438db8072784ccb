"""Prompts that begin alike are prefilled once, and no answer depends on it."""

from __future__ import annotations

import gc
import json
import weakref
from itertools import pairwise

import numpy as np
import pytest

from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.decoding.prefixes import MOST_KEPT, Prefixes
from olpipe.decoding.prompt import PlacedImage, Prompt, shareable
from olpipe.default_plugins.onnx.backend import package_folder
from olpipe.default_plugins.ort_genai.backend import OrtGenaiBackend
from olpipe.default_plugins.ort_genai.runner import TextRunner
from olpipe.default_plugins.ort_genai.runtime import import_runtime
from olpipe.default_plugins.ort_genai.sequence import GeneratorSequence
from olpipe.generation import GenerateRequest, Guidance, SamplingParams
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.store.library import Library
from olpipe.testing.models import build_tiny_package

CONTEXT = 2048
RECIPE = "Describe the photo as JSON. Say what it shows, and where. "
SCHEMA = {"type": "object", "properties": {"alt": {"type": "string", "maxLength": 30}}, "required": ["alt"]}
GUIDANCE = Guidance("json_schema", json.dumps(SCHEMA))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    package = build_tiny_package(folder / "package", context_length=CONTEXT)
    return ModelBundle(ModelName.parse("tiny"), "sha256:0", package, folder / "cache", ModelConfig("onnx"))


@pytest.fixture(scope="module")
def open_sequence(bundle):
    runtime = import_runtime()
    model = runtime.Model(runtime.Config(str(bundle.path)))
    return lambda length: GeneratorSequence(runtime, model, max_length=length)


@pytest.fixture
def load(bundle):
    runners = []

    def load():
        runners.append(OrtGenaiBackend().load(bundle, LoadOptions(threads=1)))
        return runners[-1]

    yield load
    for runner in runners:
        runner.close()


def ask(text, *, guidance=None, **sampling):
    params = SamplingParams(**{"max_tokens": 24, **sampling})
    return GenerateRequest("tiny", (Message.of("user", RECIPE + text),), params, guidance)


def answer(runner, request):
    runner.start(1, runner.prepare(request))
    chunks = []
    while not chunks or chunks[-1].finish_reason is None:
        chunks += [chunk for _, chunk in runner.step()]
    return "".join(chunk.text for chunk in chunks), chunks[-1]


def tokens(seed, count):
    return tuple(int(token) for token in np.random.default_rng(seed).integers(3, 250, count))


def run(prefixes, prompt, length=200):
    """Prefill a prompt, decode a little, hand the sequence back; return the logits and what was reused."""
    prompt = prompt if isinstance(prompt, Prompt) else Prompt(prompt)
    sequence = prefixes.take(prompt, length)
    logits = sequence.prefill(prompt)
    for token in tokens(7, 3):
        sequence.decode((token,))
    prefixes.keep(sequence)
    return logits, sequence.reused


def test_the_common_beginning_of_prompts_is_computed_once(load):
    runner = load()
    prompts = [runner.prepare(ask(text)).prompt for text in ("a dog", "a cat", "a street")]
    shared = [shareable(two.identity, one.identity) for one, two in pairwise(prompts)]
    spent = [answer(runner, ask(text))[1] for text in ("a dog", "a cat", "a street")]
    assert [last.timings.reused_tokens for last in spent] == [0, *shared]
    assert min(shared) > len(prompts[0]) / 2


@pytest.mark.parametrize("guidance", [None, GUIDANCE])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0, "seed": 5}])
def test_answers_are_the_same_with_and_without_reuse(load, guidance, sampling):
    requests = [ask(text, guidance=guidance, **sampling) for text in ("a dog", "a cat", "a dog on a street", "a dog")]
    runner = load()
    together = [answer(runner, request) for request in requests]
    alone = [answer(load(), request) for request in requests]
    assert [text for text, _ in together] == [text for text, _ in alone]
    assert [last.usage for _, last in together] == [last.usage for _, last in alone]
    assert [last.timings.reused_tokens > 0 for _, last in together] == [False, True, True, True]


def test_a_cancelled_answer_leaves_its_prompt_to_the_next(load):
    runner = load()
    expected = answer(load(), ask("a cat"))[0]
    runner.start(1, runner.prepare(ask("a dog", max_tokens=500)))
    runner.step()
    runner.stop(1)
    text, last = answer(runner, ask("a cat"))
    assert (text, last.timings.reused_tokens > 0) == (expected, True)


def test_an_answer_that_needed_no_forward_leaves_what_was_there_to_the_next(load):
    runner = load()
    dog, cat = (runner.prepare(ask(text)).prompt for text in ("a dog", "a cat"))
    shared = shareable(cat.identity, dog.identity)
    answer(runner, ask("a dog"))
    _, forced = answer(runner, ask("a cat", guidance=GUIDANCE, max_tokens=2))
    assert forced.usage.sampled_tokens == 0
    assert answer(runner, ask("a dog"))[1].timings.reused_tokens == shared


def test_prompts_give_the_same_logits_wherever_they_part(open_sequence):
    prompt = tokens(0, 60)
    expected, _ = run(Prefixes(open_sequence, context_length=CONTEXT), prompt)
    for at in (1, 2, 7, 16, 31, 57, 58):
        prefixes = Prefixes(open_sequence, context_length=CONTEXT)
        run(prefixes, prompt[:at] + tokens(1, 9))
        logits, present = run(prefixes, prompt)
        assert present in (at, 0)
        assert np.array_equal(logits, expected)


def test_the_same_prompt_again_is_computed_from_its_last_two_tokens(open_sequence):
    prefixes = Prefixes(open_sequence, context_length=CONTEXT)
    first, _ = run(prefixes, tokens(0, 40))
    for _ in range(3):
        logits, present = run(prefixes, tokens(0, 40))
        assert present == 38
        assert np.array_equal(logits, first)


def test_what_was_decoded_is_not_shared(open_sequence):
    prefixes = Prefixes(open_sequence, context_length=CONTEXT)
    run(prefixes, tokens(0, 40))
    conversation = tokens(0, 40) + tokens(7, 3) + tokens(2, 20)
    logits, present = run(prefixes, conversation)
    assert present == 40
    assert np.array_equal(logits, run(Prefixes(open_sequence, context_length=CONTEXT), conversation)[0])


def test_requests_of_two_kinds_in_turns_keep_their_own_prefixes(open_sequence):
    prefixes = Prefixes(open_sequence, context_length=CONTEXT)
    one, two = tokens(0, 40), tokens(1, 40)
    reused = [run(prefixes, prompt + tokens(number, 5))[1] for number in range(3) for prompt in (one, two)]
    assert reused == [0, 0, 40, 40, 40, 40]


def test_the_number_of_sequences_kept_is_bounded(open_sequence):
    opened = []
    prefixes = Prefixes(lambda length: opened.append(length) or open_sequence(length), context_length=CONTEXT)
    for seed in range(12):
        run(prefixes, tokens(seed, 40))
    assert opened == [256] * MOST_KEPT


def test_all_that_is_kept_fits_one_full_context(open_sequence):
    alive = weakref.WeakSet()

    def watched(length):
        sequence = open_sequence(length)
        alive.add(sequence)
        return sequence

    prefixes, held = Prefixes(watched, context_length=CONTEXT), []
    for length in (200, 300, 1000, CONTEXT):
        run(prefixes, tokens(length, 40), length)
        gc.collect()
        held.append(sorted(sequence.capacity for sequence in alive))
    assert held == [[256], [256, 512], [256, 512, 1024], [CONTEXT]]
    prefixes.close()
    gc.collect()
    assert not alive


def test_a_sequence_without_room_for_the_answer_is_not_used(open_sequence):
    prefixes = Prefixes(open_sequence, context_length=CONTEXT)
    run(prefixes, tokens(0, 40), 256)
    assert run(prefixes, tokens(0, 40), 257)[1] == 0
    assert run(prefixes, tokens(0, 40), 500)[1] == 38


def test_two_photos_with_equal_placeholders_share_nothing_from_the_photo_on(open_sequence):
    def photo_prompt(digest):
        return Prompt(tokens(0, 10) + (9,) * 16 + tokens(1, 14), (PlacedImage(10, 16, digest),))

    prefixes = Prefixes(open_sequence, context_length=256)  # there is room for one sequence
    reused = [run(prefixes, photo_prompt(digest))[1] for digest in ("sea", "street", "street", "sea")]
    assert photo_prompt("sea").tokens == photo_prompt("street").tokens
    assert reused == [0, 10, 38, 10]


def test_a_photo_is_shared_however_long_the_questions_about_it_are(open_sequence):
    def question(seed):
        return Prompt((3, *(9,) * 16, *tokens(seed, 60)), (PlacedImage(1, 16, "sea"),))

    prefixes = Prefixes(open_sequence, context_length=CONTEXT)  # there is room for another sequence
    assert [run(prefixes, question(seed))[1] for seed in (1, 2, 3)] == [0, 17, 17]


def test_what_every_answer_begins_with_is_shared_like_the_prompt_before_it(open_sequence):
    prefixes, prompt = Prefixes(open_sequence, context_length=CONTEXT), Prompt(tokens(0, 40))
    forced = tokens(5, 6)
    sequence = prefixes.take(prompt, 200)
    expected = sequence.prefill(prompt.followed_by(forced))
    prefixes.keep(sequence)
    logits, reused = run(prefixes, prompt.followed_by(forced))
    assert reused == 44
    assert np.array_equal(logits, expected)


@pytest.mark.parametrize("before", [0, 40])
def test_a_sequence_that_failed_is_not_used_again(open_sequence, before):
    """Whether it failed at the prompt or at the answer."""
    prefixes = Prefixes(open_sequence, context_length=CONTEXT)
    whole = Prompt(tokens(0, 40) + tokens(1, 250))
    sequence = prefixes.take(whole.beginning(40), 200)
    if before:
        sequence.prefill(whole.beginning(before))
    with pytest.raises(RuntimeError):
        sequence.decode(whole.tokens[before:]) if before else sequence.prefill(whole)
    prefixes.keep(sequence)
    assert run(prefixes, tokens(0, 40))[1] == 0


@pytest.mark.parametrize("trouble", ["inexact", "refused"])
def test_where_rewinding_is_not_exact_every_prompt_is_computed_whole(bundle, open_sequence, trouble, caplog):
    runtime = import_runtime()
    model = runtime.Model(runtime.Config(str(bundle.path)))

    class Forgetful(GeneratorSequence):
        """Loses a token, as a provider with a bug would, or cannot rewind at all."""

        def rewind(self, length):
            if trouble == "refused":
                raise RuntimeError("RewindTo is not supported")
            super().rewind(length - 1)

    caplog.set_level("DEBUG", "olpipe")
    prefixes = Prefixes(lambda length: Forgetful(runtime, model, max_length=length), context_length=CONTEXT)
    expected, _ = run(Prefixes(open_sequence, context_length=CONTEXT), tokens(0, 40))
    for _ in range(3):
        logits, present = run(prefixes, tokens(0, 40))
        assert present == 0
        assert np.array_equal(logits, expected)
    assert caplog.text.count("rewinding is not exact, so every prompt is computed as a whole") == 1


@pytest.mark.slow
def test_the_real_model_answers_the_same_whatever_is_kept(photo_mini_home):
    library = Library(photo_mini_home / "models", cache=photo_mini_home / "cache")
    real = library.get(ModelName.parse("photo-mini"))
    runner = TextRunner(package_folder(real), real, LoadOptions(threads=1))
    evidence = ("photo: two dogs (center)", "photo: bus (left), person (right)", "photo: two dogs (center), cat (left)")
    requests = [ask(text, guidance=GUIDANCE, temperature=heat, seed=1) for text in evidence for heat in (0, 0.8)]
    together = [answer(runner, request) for request in requests]
    for request, (text, _) in zip(requests, together, strict=True):
        LogitsRunner.close(runner)  # frees what is kept, and leaves the model
        alone, last = answer(runner, request)
        assert (alone, last.timings.reused_tokens) == (text, 0)
    assert [last.timings.reused_tokens > 0 for _, last in together] == [False] + [True] * 5
    runner.close()
