"""Several sequences side by side: each gets the answer that it would get alone."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jsonschema
import pytest

from olpipe.default_plugins.onnx.backend import OnnxBackend
from olpipe.default_plugins.onnx.runner import BatchedRunner
from olpipe.errors import GenerationError
from olpipe.generation import Chunk, FinishReason, GenerateRequest, Guidance, SamplingParams
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.store.library import Library
from olpipe.testing.models import write_tiny_gguf

CONTEXT = 2048
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 30},
        "description": {"type": "string", "maxLength": 60},
        "alt": {"type": "string", "maxLength": 20},
    },
    "required": ["title", "description", "alt"],
    "additionalProperties": False,
}
GUIDANCE = Guidance("json_schema", json.dumps(SCHEMA))


def build(folder, precision="int8"):
    (folder / "model").mkdir()
    write_tiny_gguf(folder / "model" / "model.gguf", context_length=CONTEXT)
    config = ModelConfig("gguf", "llama", conversion={"format": 1, "precision": precision})
    bundle = ModelBundle(ModelName.parse("tiny"), "sha256:0", folder / "model", folder / "cache", config)
    OnnxBackend().build(bundle, lambda _: None)
    return bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return build(tmp_path_factory.mktemp("model"))


@pytest.fixture
def load(bundle):
    runners = []

    def load(**options):
        runners.append(OnnxBackend().load(bundle, LoadOptions(threads=1, **options)))
        assert isinstance(runners[-1], BatchedRunner)
        return runners[-1]

    yield load
    for runner in runners:
        runner.close()


def ask(text, *, guidance=None, **sampling):
    params = SamplingParams(**{"max_tokens": 24, **sampling})
    return GenerateRequest("tiny", (Message.of("user", text),), params, guidance)


def drive(runner, requests, *, at_once=8):
    """Keep so many requests going, each by its place in the list; return texts and what each ended with."""
    texts, ends, waiting, open_ones = [""] * len(requests), {}, list(range(len(requests))), set()
    while waiting or open_ones:
        while waiting and len(open_ones) < at_once:
            number = waiting.pop(0)
            open_ones.add(number)
            runner.start(number, runner.prepare(requests[number]))
        for number, item in runner.step():
            assert number in open_ones
            if isinstance(item, Chunk):
                texts[number] += item.text
            if not isinstance(item, Chunk) or item.finish_reason is not None:
                open_ones.remove(number)
                ends[number] = item
    return texts, [ends[number] for number in range(len(requests))]


def mixed(count):
    """Return requests of many lengths, guided and free, greedy and sampled."""
    return [
        ask(
            "the dog in the street " * (1 + 5 * number % 7) + str(number),
            guidance=GUIDANCE if number % 3 else None,
            temperature=0.9 * (number % 2),
            seed=number,
            max_tokens=10 + 13 * number % 60,
        )
        for number in range(count)
    ]


@pytest.mark.examples(1)
@pytest.mark.parametrize("at_once", [2, 5, 8])
def test_side_by_side_everyone_gets_the_answer_of_one_who_is_alone(load, at_once):
    requests = mixed(20)
    together, ends = drive(load(), requests, at_once=at_once)
    alone, lone_ends = drive(load(), requests, at_once=1)
    assert together == alone
    assert [end.usage for end in ends] == [end.usage for end in lone_ends]
    assert len({len(text) for text in together}) > 5
    for text, request in zip(together, requests, strict=True):
        if request.guidance:
            jsonschema.validate(json.loads(text), SCHEMA)


def test_four_bits_are_no_different(tmp_path):
    runner = OnnxBackend().load(build(tmp_path, "int4"), LoadOptions(threads=1))
    assert drive(runner, mixed(8))[0] == drive(runner, mixed(8), at_once=1)[0]
    runner.close()


def test_prompts_that_begin_alike_are_computed_once_even_while_another_is_at_work(load):
    runner = load()
    common = "Describe the photo as JSON. Say what it shows, and where. "
    requests = [ask(common + text, guidance=GUIDANCE, max_tokens=60) for text in ("a dog", "a cat", "a street")]
    together, ends = drive(runner, requests)
    alone = [drive(load(), [request])[0][0] for request in requests]
    assert together == alone
    assert [end.timings.reused_tokens > 40 for end in ends] == [False, True, True]


def test_who_comes_and_who_goes_disturbs_nobody(load):
    runner = load()
    request = ask("a dog", guidance=GUIDANCE, max_tokens=80)
    expected = drive(load(), [request])[0][0]
    text, finished = "", False
    runner.start(100, runner.prepare(request))
    for step in range(200):
        if step % 3 == 0:
            runner.start(step, runner.prepare(ask(f"a cat {step}", max_tokens=500)))
        if step % 3 == 2:
            runner.stop(step - 2)
        mine = [chunk for number, chunk in runner.step() if number == 100]
        text += "".join(chunk.text for chunk in mine)
        finished = finished or any(chunk.finish_reason for chunk in mine)
        if finished:
            break
    assert finished
    assert text == expected


def test_a_sequence_can_be_stopped_before_its_first_step_and_in_the_middle(load):
    runner = load()
    for number in range(8):
        runner.start(number, runner.prepare(ask("a dog", max_tokens=500)))
    runner.stop(3)
    runner.step()
    for number in (0, 7, 4, 1):
        runner.stop(number)
    assert {number for number, _ in runner.step()} <= {2, 5, 6}
    for number in (2, 5, 6):
        runner.stop(number)
    assert runner.step() == []


class Stuck:
    """A grammar that gives up at the seventh token."""

    def __init__(self, constraint):
        self._constraint, self.left = constraint, 7

    def __getattr__(self, name):
        return getattr(self._constraint, name)

    def consume(self, token):
        self.left -= 1
        if not self.left:
            raise GenerationError("the grammar cannot go on")
        self._constraint.consume(token)


def test_the_trouble_of_one_is_nobody_elses(load):
    runner, requests = load(), [ask(f"a dog {number}", guidance=GUIDANCE, max_tokens=40) for number in range(4)]
    expected = drive(load(), requests, at_once=1)[0]
    prepared = [runner.prepare(request) for request in requests]
    prepared[1] = replace(prepared[1], constraint=Stuck(prepared[1].constraint))
    for number, one in enumerate(prepared):
        runner.start(number, one)
    said = []
    while len([item for _, item in said if not isinstance(item, Chunk) or item.finish_reason]) < len(requests):
        said += runner.step()
    assert [(number, item.message) for number, item in said if isinstance(item, GenerationError)] == [
        (1, "the grammar cannot go on")
    ]
    for number in (0, 2, 3):
        assert "".join(item.text for whose, item in said if whose == number) == expected[number]


def test_a_long_sequence_waits_until_there_is_room_and_is_not_passed_by(load):
    runner = load()
    short = [ask(f"a dog {number}", max_tokens=30) for number in range(12)]
    long = ask("a street", guidance=GUIDANCE, max_tokens=CONTEXT)
    requests = [*short[:6], long, *short[6:]]
    texts, ends = drive(runner, requests)
    assert texts == drive(load(), requests, at_once=1)[0]
    assert all(end.finish_reason in (FinishReason.STOP, FinishReason.LENGTH) for end in ends)
    jsonschema.validate(json.loads(texts[6]), SCHEMA)


def test_more_sequences_than_slots_are_refused(load):
    runner = load()
    for number in range(runner.info.slots):
        runner.start(number, runner.prepare(ask("a dog")))
    with pytest.raises(ValueError, match="this runner has 8 slots, and all are taken"):
        runner.start(99, runner.prepare(ask("a dog")))


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_there_are_as_many_slots_as_were_asked_for(load, slots):
    runner = load(slots=slots)
    assert runner.info.slots == slots
    for number in range(slots):
        runner.start(number, runner.prepare(ask("a dog")))
    with pytest.raises(ValueError, match=f"this runner has {slots} slots, and all are taken"):
        runner.start(99, runner.prepare(ask("a dog")))


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_an_answer_does_not_depend_on_those_before_it(load, slots):
    requests = mixed(6)
    runner = load(slots=slots)
    expected = [drive(load(slots=slots), [request])[0][0] for request in requests]
    for _ in range(2):
        assert drive(runner, requests, at_once=1)[0] == expected


def test_requests_may_be_prepared_by_another_thread_while_others_are_answered(load):
    runner, requests = load(), mixed(8)
    expected = drive(load(), requests, at_once=1)[0]
    later = mixed(24)
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(runner.prepare, request) for request in later]
        assert drive(runner, requests)[0] == expected
        prepared = [one.result() for one in waiting]
    assert [len(one.prompt) for one in prepared] == [len(runner.prepare(request).prompt) for request in later]


def test_a_stop_text_ends_a_free_answer(load):
    runner = load()
    request = ask("a dog", max_tokens=40, temperature=1.0, seed=3)
    whole = drive(runner, [request])[0][0]
    sampling = replace(request.sampling, stop=(whole[4:6],))
    texts, ends = drive(runner, [replace(request, sampling=sampling), request])
    assert texts == [whole[: whole.index(whole[4:6])], whole]
    assert ends[0].finish_reason is FinishReason.STOP


@pytest.mark.slow
def test_the_real_model_answers_the_same_alone_and_beside_others(photo_mini_home):
    library = Library(photo_mini_home / "models", cache=photo_mini_home / "cache")
    runner = OnnxBackend().load(library.get(ModelName.parse("photo-mini")), LoadOptions(threads=1))
    seen = (
        "two dogs (center)",
        "bus (left), person (right)",
        "two dogs (center), cat (left)",
        "toilet",
        "kite, three people",
    )
    requests = [
        ask(f"photo: {one}", guidance=GUIDANCE, temperature=heat, seed=1, max_tokens=80)
        for one in seen
        for heat in (0, 0.8)
    ]
    assert drive(runner, requests)[0] == drive(runner, requests, at_once=1)[0]
    runner.close()
