"""The worker loop in a thread of this process, around runners that note what is asked of them."""

import threading
from collections.abc import Sequence
from queue import SimpleQueue

import pytest

from olpipe.engine.protocol import Answer, Answered, Begun, Cancel, Refused, Submit
from olpipe.engine.worker import Close, Worker
from olpipe.errors import GenerationError, UsageError
from olpipe.generation import Chunk, FinishReason, GenerateRequest, Guidance, Usage
from olpipe.interfaces import Prepared
from olpipe.messages import Message
from olpipe.testing.echo import EchoOptions, EchoRunner


class NotingRunner(EchoRunner):
    """An echo that notes every call and waits for a permit before each step."""

    def __init__(self, options: EchoOptions) -> None:
        super().__init__(options, options.context_length)
        self.calls: list[tuple[str, int]] = []
        self.stepping: SimpleQueue[None] = SimpleQueue()
        self.permits = threading.Semaphore(0)

    def go_on_until(self, call: tuple[str, int]) -> None:
        """Permit one step after the other until there was a call."""
        while call not in self.calls:
            self.permits.release()
            self.stepping.get(timeout=60)

    def start(self, sequence_id: int, prepared: Prepared) -> None:
        self.calls.append(("start", sequence_id))
        super().start(sequence_id, prepared)

    def step(self) -> Sequence[tuple[int, Chunk]]:
        self.stepping.put(None)
        assert self.permits.acquire(timeout=60)
        return super().step()

    def stop(self, sequence_id: int) -> None:
        self.calls.append(("stop", sequence_id))
        super().stop(sequence_id)


class Bench:
    """A worker at work, its answers in a queue."""

    def __init__(self, runner: EchoRunner) -> None:
        self.runner = runner
        self.answers: SimpleQueue[Answered | Refused] = SimpleQueue()
        self.begun: list[int] = []
        self.worker = Worker(self.take)
        self.thread = threading.Thread(target=self.worker.run, args=(runner,))
        self.thread.start()

    def take(self, answer: Answer) -> None:
        """Keep answers apart from what is said before them."""
        if isinstance(answer, Begun):
            self.begun.append(answer.sequence_id)
        else:
            self.answers.put(answer)

    def submit(self, sequence_id: int, text: str, guidance: Guidance | None = None, *, client: str = "") -> None:
        request = GenerateRequest("m", (Message.of("user", text),), guidance=guidance)
        self.worker.post(Submit(sequence_id, request, client))

    def until_last(self, *sequence_ids: int) -> list[Answered | Refused]:
        """Take answers until the last of every sequence given is there."""
        taken, open_ones = [], set(sequence_ids)
        while open_ones:
            answer = self.answers.get(timeout=60)
            taken.append(answer)
            if isinstance(answer, Refused) or answer.chunk.finish_reason is not None:
                open_ones.discard(answer.sequence_id)
        return taken


@pytest.fixture
def bench():
    benches: list[Bench] = []

    def make(runner: EchoRunner | None = None, **options: object) -> Bench:
        benches.append(Bench(runner or EchoRunner(EchoOptions(**options), 4096)))
        return benches[-1]

    yield make
    for one in benches:
        one.worker.post(Close())
        if isinstance(one.runner, NotingRunner):
            one.runner.permits.release(1000)
        one.thread.join(60)
        assert not one.thread.is_alive()


def spoken(answers, sequence_id):
    return "".join(answer.chunk.text for answer in answers if answer.sequence_id == sequence_id)


def test_a_clients_requests_are_answered_in_order_of_arrival_when_there_is_one_slot(bench):
    one = bench()
    for sequence_id, text in enumerate(("a b", "c d", "e f")):
        one.submit(sequence_id, text)
    answers = one.until_last(0, 1, 2)
    assert [answer.sequence_id for answer in answers] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def started(runner):
    return [sequence_id for call, sequence_id in runner.calls if call == "start"]


def test_a_request_is_said_to_have_begun_before_the_runner_sees_it(bench):
    class Choking(EchoRunner):
        def prepare(self, request):
            seen.append(list(one.begun))
            return super().prepare(request)

    seen: list[list[int]] = []
    one = bench(Choking(EchoOptions(context_length=2), 2))
    one.submit(1, "a b")
    one.submit(2, "a b c")
    assert isinstance(one.until_last(1, 2)[-1], Refused)
    assert seen == [[1], [1, 2]]


def test_clients_take_turns_however_many_requests_one_of_them_sends(bench):
    runner = NotingRunner(EchoOptions())
    one = bench(runner)
    for sequence_id in range(1, 6):
        one.submit(sequence_id, "a", client="batch")
    runner.stepping.get(timeout=60)
    for sequence_id, client in ((11, "alice"), (12, "alice"), (21, "bob")):
        one.submit(sequence_id, "a", client=client)
    runner.permits.release(1000)
    one.until_last(5, 12, 21)
    assert started(runner) == [1, 2, 11, 21, 3, 12, 4, 5]


def test_a_client_who_asks_one_by_one_waits_for_one_request_of_another_at_most(bench):
    runner = NotingRunner(EchoOptions())
    one = bench(runner)
    for sequence_id in range(1, 9):
        one.submit(sequence_id, "a", client="batch")
    runner.stepping.get(timeout=60)
    for sequence_id in (11, 12, 13):
        one.submit(sequence_id, "a", client="alice")
        while started(runner)[-1] != sequence_id:
            runner.permits.release()
            runner.stepping.get(timeout=60)
    runner.permits.release(1000)
    one.until_last(8)
    served = started(runner)
    assert [served.index(sequence_id) for sequence_id in (11, 12, 13)] == [2, 4, 6]
    assert [sequence_id for sequence_id in served if sequence_id < 10] == list(range(1, 9))


def test_a_cancelled_request_does_not_cost_its_client_the_turn(bench):
    runner = NotingRunner(EchoOptions())
    one = bench(runner)
    one.submit(1, "a", client="batch")
    runner.stepping.get(timeout=60)
    for sequence_id, client in ((11, "alice"), (12, "alice"), (21, "bob"), (31, "carol")):
        one.submit(sequence_id, "a", client=client)
    for sequence_id in (11, 21):
        one.worker.post(Cancel(sequence_id))
    runner.permits.release(1000)
    one.until_last(12, 31)
    assert started(runner) == [1, 12, 31]


class TroubledRunner(EchoRunner):
    """An echo that cannot go on with sequence 1."""

    def step(self) -> Sequence[tuple[int, Chunk | GenerationError]]:
        said = super().step()
        self.stop(1)
        trouble = GenerationError("the grammar cannot go on")
        return [(number, trouble if number == 1 else chunk) for number, chunk in said]


def test_the_trouble_of_one_sequence_ends_that_one_only(bench):
    one = bench(TroubledRunner(EchoOptions(slots=2), 4096))
    for sequence_id in (1, 2, 3):
        one.submit(sequence_id, "a b c")
    answers = one.until_last(1, 2, 3)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert [(answer.sequence_id, answer.error.message) for answer in refused] == [(1, "the grammar cannot go on")]
    others = [answer for answer in answers if answer.sequence_id != 1]
    assert [spoken(others, sequence_id) for sequence_id in (2, 3)] == ["a b c", "a b c"]


class ConfusedRunner(EchoRunner):
    """An echo that gives its answers under other numbers."""

    def step(self) -> Sequence[tuple[int, Chunk]]:
        return [(number + 98, chunk) for number, chunk in super().step()]


def test_a_runner_that_answers_what_it_was_not_given_fails_those_that_it_was_given(bench):
    one = bench(ConfusedRunner(EchoOptions(slots=2), 4096))
    one.submit(1, "a b c")
    (refused,) = [answer for answer in one.until_last(1) if isinstance(answer, Refused)]
    message = "the runner failed: ValueError: it answered sequence 99, which it was not given"
    assert (refused.sequence_id, refused.error.message) == (1, message)


def test_as_many_requests_run_side_by_side_as_the_runner_has_slots(bench):
    runner = NotingRunner(EchoOptions(slots=2, endless_on="endless"))
    one = bench(runner)
    one.submit(1, "endless")
    runner.stepping.get(timeout=60)
    one.submit(2, "endless")
    one.submit(3, "d e f")
    runner.go_on_until(("start", 2))
    for _ in range(3):
        runner.permits.release()
        runner.stepping.get(timeout=60)
    assert started(runner) == [1, 2]
    one.worker.post(Cancel(1))
    runner.permits.release(1000)
    assert spoken(one.until_last(3), 3) == "d e f"
    assert started(runner) == [1, 2, 3]
    assert runner.calls.index(("stop", 1)) < runner.calls.index(("start", 3))


def test_the_last_chunk_says_how_long_the_request_waited_for_its_slot(bench):
    one = bench()
    one.submit(1, "a")
    last = one.until_last(1)[-1].chunk
    assert last.timings is not None
    assert last.timings.queue_ns > 0
    assert last.usage == Usage(prompt_tokens=1, sampled_tokens=1)


def test_a_request_cancelled_while_it_waits_is_never_started(bench):
    runner = NotingRunner(EchoOptions())
    one = bench(runner)
    one.submit(1, "a")
    runner.stepping.get(timeout=60)
    one.submit(2, "b")
    one.worker.post(Cancel(2))
    one.submit(3, "c")
    runner.permits.release(1000)
    one.until_last(1, 3)
    assert started(runner) == [1, 3]


def test_a_request_cancelled_while_it_runs_is_stopped_and_nothing_more_is_said_about_it(bench):
    runner = NotingRunner(EchoOptions(endless_on="endless"))
    one = bench(runner)
    one.submit(1, "endless")
    runner.stepping.get(timeout=60)
    one.worker.post(Cancel(1))
    one.submit(2, "b")
    runner.permits.release(1000)
    answers = one.until_last(2)
    assert [answer.sequence_id for answer in answers] == [1, 2, 2]
    assert ("stop", 1) in runner.calls


def test_cancelling_what_is_not_there_changes_nothing(bench):
    one = bench()
    one.worker.post(Cancel(7))
    one.submit(1, "a")
    assert spoken(one.until_last(1), 1) == "a"


def test_a_request_that_cannot_be_prepared_fails_alone(bench):
    one = bench()
    one.submit(1, "a", Guidance("regex", "a+"))
    one.submit(2, "b")
    refused, *others = one.until_last(1, 2)
    assert isinstance(refused, Refused)
    assert type(refused.error.to_error()) is UsageError
    assert refused.error.message == "echo does not follow guidance of the kind `regex`"
    assert spoken(others, 2) == "b"


def test_a_step_that_raises_fails_what_is_registered_and_nothing_else(bench, caplog):
    runner = NotingRunner(EchoOptions(slots=2, fail_on="bad", endless_on="endless"))
    one = bench(runner)
    one.submit(1, "endless")
    runner.stepping.get(timeout=60)
    one.submit(2, "bad word")
    one.submit(3, "waits meanwhile")
    runner.go_on_until(("start", 2))
    runner.permits.release(1000)
    answers = one.until_last(1, 2, 3)
    refused = {answer.sequence_id: answer.error.to_error() for answer in answers if isinstance(answer, Refused)}
    assert {sequence_id: type(error) for sequence_id, error in refused.items()} == dict.fromkeys(
        (1, 2), GenerationError
    )
    assert "".join(a.chunk.text for a in answers if isinstance(a, Answered) and a.sequence_id == 3) == "waits meanwhile"
    assert "echo fails as told" in caplog.text


def test_a_runner_that_cannot_even_stop_does_not_end_the_loop(bench, caplog):
    class Stubborn(EchoRunner):
        def stop(self, sequence_id: int) -> None:
            super().stop(sequence_id)
            raise RuntimeError("will not stop")

    runner = Stubborn(EchoOptions(endless_on="endless"), 4096)
    one = bench(runner)
    one.submit(1, "endless")
    one.answers.get(timeout=60)
    one.worker.post(Cancel(1))
    one.submit(2, "b", Guidance("regex"))
    assert isinstance(one.until_last(2)[-1], Refused)
    assert "the runner could not stop sequence 1" in caplog.text


def test_closing_ends_the_loop_whatever_runs_or_waits(bench):
    one = bench(endless_on="endless")
    one.submit(1, "endless")
    one.submit(2, "waits")
    first = one.answers.get(timeout=60)
    assert (first.chunk.text, first.chunk.finish_reason) == ("endless", None)
    one.worker.post(Close())
    one.thread.join(60)
    assert not one.thread.is_alive()


def test_finish_reasons_pass_through(bench):
    one = bench()
    one.submit(1, "a")
    assert one.until_last(1)[-1].chunk.finish_reason is FinishReason.STOP
