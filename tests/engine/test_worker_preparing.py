"""What the worker loop does beside a step: prepare prompts, make embeddings, refuse what the runner does not do."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from queue import SimpleQueue

import numpy as np
import pytest

from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.engine.protocol import Answer, Answered, Begun, Cancel, Embed, Embedded, Refused, Submit
from olpipe.engine.worker import Close, Worker
from olpipe.generation import GenerateRequest, Guidance
from olpipe.interfaces import Prepared
from olpipe.messages import Message
from olpipe.testing.echo import EchoOptions, EchoRunner
from olpipe.testing.images import decoded


class GatedRunner(EchoRunner):
    """An echo that says when it prepares or embeds something slow, and goes on when it is let."""

    def __init__(self, **options: object) -> None:
        super().__init__(EchoOptions(endless_on="endless", **options), 4096)
        self.calls: list[str] = []
        self.entered: SimpleQueue[str] = SimpleQueue()
        self.gate = threading.Semaphore(0)

    def prepare(self, request: GenerateRequest) -> Prepared:
        self._pass(f"prepare {request.messages[-1].text}")
        return super().prepare(request)

    def embed(self, request: EmbedRequest) -> Embeddings:
        self._pass(f"embed {request.texts[0]}")
        return super().embed(request)

    def step(self):
        self.calls.append("step")
        return super().step()

    def _pass(self, call: str) -> None:
        self.calls.append(call)
        if "slow" in call:
            self.entered.put(call)
            assert self.gate.acquire(timeout=60)


class Bench:
    """A worker at work in a thread of its own."""

    def __init__(self, runner: EchoRunner) -> None:
        self.runner = runner
        self.answers: SimpleQueue[Answer] = SimpleQueue()
        self.worker = Worker(self.answers.put)
        self.thread = threading.Thread(target=self.worker.run, args=(runner,))
        self.thread.start()

    def ask(self, sequence_id: int, text: str) -> None:
        self.worker.post(Submit(sequence_id, GenerateRequest("m", (Message.of("user", text),))))

    def embed(self, sequence_id: int, *texts: str) -> None:
        self.worker.post(Embed(sequence_id, EmbedRequest("m", texts)))

    def cancel(self, sequence_id: int) -> None:
        self.worker.post(Cancel(sequence_id))

    def until(self, holds: Callable[[Answer], bool]) -> Answer:
        """Take answers until one is as wanted, and return that one."""
        while True:
            answer = self.answers.get(timeout=60)
            if holds(answer):
                return answer

    def last(self, sequence_id: int) -> Answer:
        """Take answers until the last of a sequence, and return that one."""

        def is_last(answer: Answer) -> bool:
            ends = isinstance(answer, Embedded | Refused) or (
                isinstance(answer, Answered) and answer.chunk.finish_reason is not None
            )
            return ends and answer.sequence_id == sequence_id

        return self.until(is_last)


@pytest.fixture
def bench() -> Iterator[Callable[[EchoRunner], Bench]]:
    benches: list[Bench] = []

    def make(runner: EchoRunner) -> Bench:
        benches.append(Bench(runner))
        return benches[-1]

    yield make
    for one in benches:
        one.worker.post(Close())
        if isinstance(one.runner, GatedRunner):
            one.runner.gate.release(1000)
        one.thread.join(60)
        assert not one.thread.is_alive()


def test_who_is_answered_goes_on_while_a_long_prompt_is_prepared(bench):
    runner = GatedRunner(slots=2)
    one = bench(runner)
    one.ask(1, "endless")
    one.ask(2, "slow one")
    assert runner.entered.get(timeout=60) == "prepare slow one"
    one.until(lambda answer: answer == Begun(2))
    words = [one.until(lambda answer: isinstance(answer, Answered)) for _ in range(20)]
    assert {answer.sequence_id for answer in words} == {1}
    runner.gate.release()
    assert one.last(2).chunk.finish_reason is not None


def test_a_request_that_is_cancelled_while_it_is_prepared_is_never_started_and_frees_its_slot(bench):
    runner = GatedRunner(slots=1)
    one = bench(runner)
    one.ask(1, "slow one")
    assert runner.entered.get(timeout=60) == "prepare slow one"
    one.cancel(1)
    one.ask(2, "b")
    one.until(lambda answer: answer == Begun(2))  # it has the slot
    runner.gate.release()
    answer = one.until(lambda answer: isinstance(answer, Answered))
    assert (answer.sequence_id, answer.chunk.text) == (2, "b")


def test_a_request_that_is_cancelled_before_it_is_prepared_holds_nobody_up(bench):
    runner = GatedRunner(slots=3)
    one = bench(runner)
    one.ask(1, "slow one")
    assert runner.entered.get(timeout=60) == "prepare slow one"
    one.ask(2, "slow two")
    one.until(lambda answer: answer == Begun(2))
    one.cancel(2)
    one.ask(3, "c")
    one.until(lambda answer: answer == Begun(3))
    runner.gate.release()
    one.last(3)
    assert "prepare slow two" not in runner.calls


def test_closing_does_not_prepare_all_that_still_waits_for_that(bench):
    class Counting(EchoRunner):
        def prepare(self, request):
            prepared.append(request)
            return super().prepare(request)

    prepared: list[GenerateRequest] = []
    one = bench(Counting(EchoOptions(slots=60, slow_on="slow", prepare_s=0.05), 4096))
    for sequence_id in range(60):
        one.ask(sequence_id, "slow")
    one.until(lambda answer: answer == Begun(59))
    one.worker.post(Close())
    one.thread.join(60)
    assert not one.thread.is_alive()
    assert len(prepared) < 60


def test_embeddings_come_back_with_the_time_that_they_waited(bench):
    one = bench(GatedRunner())
    one.embed(1, "ab", "b")
    embeddings = one.last(1).embeddings
    assert embeddings.vectors.shape == (2, 26)
    assert np.allclose(embeddings.vectors[0, :2], 0.5**0.5)
    assert embeddings.prompt_tokens == 2
    assert embeddings.timings.queue_ns > 0


def test_texts_are_embedded_one_request_at_a_time_between_the_steps_of_those_that_are_answered(bench):
    runner = GatedRunner(slots=2)
    one = bench(runner)
    one.ask(9, "endless")
    one.until(lambda answer: isinstance(answer, Answered))
    one.embed(1, "slow")  # holds the loop while the others gather behind it
    assert runner.entered.get(timeout=60) == "embed slow"
    for sequence_id in (2, 3, 4):
        one.embed(sequence_id, f"text {sequence_id}")
    runner.gate.release()
    one.last(4)
    calls = runner.calls[runner.calls.index("embed slow") :]
    places = [place for place, call in enumerate(calls) if call.startswith("embed")]
    assert len(places) == 4
    assert all("step" in calls[before:after] for before, after in pairwise(places))


def test_embeddings_that_are_cancelled_while_they_wait_are_not_made(bench):
    runner = GatedRunner()
    one = bench(runner)
    one.embed(1, "slow")
    assert runner.entered.get(timeout=60) == "embed slow"
    one.embed(2, "slow two")
    one.embed(3, "three")
    one.embed(4, "four")
    runner.gate.release()
    assert runner.entered.get(timeout=60) == "embed slow two"
    one.cancel(3)
    runner.gate.release()
    one.last(4)
    assert runner.calls == ["embed slow", "embed slow two", "embed four"]


def test_embeddings_that_fail_are_refused_and_the_next_are_made(bench):
    one = bench(EchoRunner(EchoOptions(fail_on="bad"), 4096))
    one.embed(1, "bad")
    one.embed(2, "good")
    assert one.last(1).error.message == "the runner failed: RuntimeError: echo fails as told"
    assert one.last(2).embeddings.vectors.shape == (1, 26)


PLAIN = GenerateRequest("m", (Message.of("user", "a"),))
SEEN = replace(PLAIN, messages=(Message.of("user", "a", decoded()), Message.of("user", "b")))


@pytest.mark.parametrize(
    ("lacks", "request_", "message"),
    [
        ("guidance", replace(PLAIN, guidance=Guidance("json")), "`m` cannot hold its answer to a format"),
        ("sees", SEEN, "model `m` cannot see images"),
        ("generates", PLAIN, "`m` does not write answers, it makes embeddings"),
        ("embeds", EmbedRequest("m", ("a",)), "`m` makes no embeddings"),
    ],
)
def test_what_a_runner_does_not_do_is_refused_before_it_hears_of_it(bench, lacks, request_, message):
    runner = GatedRunner(**{lacks: False})
    one = bench(runner)
    kind = Embed if isinstance(request_, EmbedRequest) else Submit
    one.worker.post(kind(1, request_))
    error = one.last(1).error
    assert (error.kind, error.message) == ("UsageError", message)
    assert runner.calls == []


@pytest.mark.parametrize("request_", [replace(PLAIN, guidance=Guidance("json")), SEEN, EmbedRequest("m", ("a",))])
def test_what_a_runner_does_is_not_refused(bench, request_):
    one = bench(GatedRunner())
    one.worker.post((Embed if isinstance(request_, EmbedRequest) else Submit)(1, request_))
    assert not isinstance(one.last(1), Refused)
