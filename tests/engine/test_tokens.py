"""Requests about tokens: they wait for no slot, and what cannot be done is told."""

import threading
from dataclasses import replace
from queue import SimpleQueue

import pytest

from olpipe.engine.protocol import Begun, Cancel, Refused, Submit, Tokenize, Tokenized
from olpipe.engine.worker import Close, Worker
from olpipe.errors import UsageError
from olpipe.generation import GenerateRequest, Usage
from olpipe.messages import Message
from olpipe.testing.echo import EchoOptions, EchoRunner
from olpipe.testing.images import decoded
from olpipe.tokens import CountRequest, DetokenizeRequest, TokenizeRequest, Tokens


class SpellingRunner(EchoRunner):
    """An echo whose tokens are bytes. It cuts a conversation of more than three messages."""

    def __init__(self, **options):
        super().__init__(EchoOptions(endless_on="endless", **options), 4096)
        self.entered, self.gate = SimpleQueue(), threading.Semaphore(0)

    def prepare(self, request):
        cut = len(request.messages) > 3
        return replace(super().prepare(request), cut_messages=2 * cut, cut_tokens=7 * cut)

    def tokenize(self, request):
        if request.text == "slow":
            self.entered.put(request.text)
            assert self.gate.acquire(timeout=60)
        if request.text == "bad":
            raise RuntimeError("no tokens today")
        return tuple(request.text.encode())

    def detokenize(self, request):
        return bytes(request.tokens).decode()


class Bench:
    def __init__(self, runner):
        self.answers = SimpleQueue()
        self.worker = Worker(self.answers.put, "the backend `spelling`")
        self.thread = threading.Thread(target=self.worker.run, args=(runner,))
        self.thread.start()

    def last(self, sequence_id):
        """Take answers until the last one of a request."""
        while True:
            answer = self.answers.get(timeout=60)
            if isinstance(answer, Begun) or answer.sequence_id != sequence_id:
                continue
            if isinstance(answer, Tokenized | Refused) or answer.chunk.finish_reason is not None:
                return answer

    def say(self, *texts):
        return GenerateRequest("m", tuple(Message.of("user", text) for text in texts))


@pytest.fixture
def bench():
    benches = []

    def make(runner):
        benches.append(Bench(runner))
        return benches[-1]

    yield make
    for one in benches:
        one.worker.post(Close())
        one.thread.join(60)
        assert not one.thread.is_alive()


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        (TokenizeRequest("m", "ab"), Tokens(2, (97, 98))),
        (DetokenizeRequest("m", (97, 98)), Tokens(2, text="ab")),
        (CountRequest(GenerateRequest("m", (Message.of("user", "a b c"),))), Tokens(3)),
    ],
)
def test_what_is_asked_is_answered(bench, request_, tokens):
    one = bench(SpellingRunner())
    one.worker.post(Tokenize(1, request_))
    assert one.answers.get(timeout=60) == Begun(1)
    assert one.last(1) == Tokenized(1, tokens)


def test_they_wait_for_no_slot(bench):
    one = bench(SpellingRunner())
    one.worker.post(Submit(1, one.say("endless")))
    while isinstance(one.answers.get(timeout=60), Begun):
        pass
    one.worker.post(Submit(2, one.say("waits for the slot")))
    one.worker.post(Tokenize(3, TokenizeRequest("m", "a")))
    assert one.last(3) == Tokenized(3, Tokens(1, (97,)))
    one.worker.post(Cancel(1))
    assert one.last(2).chunk.finish_reason is not None


def test_what_is_cancelled_is_not_answered(bench):
    runner = SpellingRunner()
    one = bench(runner)
    for number, text in ((1, "slow"), (2, "ab"), (3, "abc")):
        one.worker.post(Tokenize(number, TokenizeRequest("m", text)))
    assert runner.entered.get(timeout=60) == "slow"
    one.worker.post(Cancel(1))
    one.worker.post(Cancel(2))
    one.worker.post(Tokenize(4, TokenizeRequest("m", "a")))
    runner.gate.release()
    answered = []
    while len(answered) < 2:
        answer = one.answers.get(timeout=60)
        answered += [answer.sequence_id] if isinstance(answer, Tokenized) else []
    assert answered == [3, 4]


def test_an_error_of_the_runner_is_told_and_the_next_is_answered(bench):
    one = bench(SpellingRunner())
    one.worker.post(Tokenize(1, TokenizeRequest("m", "bad")))
    one.worker.post(Tokenize(2, TokenizeRequest("m", "a")))
    assert one.last(1).error.message == "the backend `spelling` failed: RuntimeError: no tokens today"
    assert one.last(2) == Tokenized(2, Tokens(1, (97,)))


def test_a_runner_that_shows_no_tokens_says_so_and_counts_all_the_same(bench):
    one = bench(EchoRunner(EchoOptions(), 4096))
    for request in (TokenizeRequest("m", "a"), DetokenizeRequest("m", (1,))):
        one.worker.post(Tokenize(1, request))
        refused = one.last(1)
        assert type(refused.error.to_error()) is UsageError
        assert refused.error.message == "`m` does not show its tokens"
    one.worker.post(Tokenize(2, CountRequest(one.say("a b", "c"))))
    assert one.last(2) == Tokenized(2, Tokens(3))


def test_a_prompt_with_images_is_not_counted_where_they_are_not_seen(bench):
    one = bench(SpellingRunner(sees=False))
    one.worker.post(Tokenize(1, CountRequest(GenerateRequest("m", (Message.of("user", "a", decoded()),)))))
    assert one.last(1).error.message == "model `m` cannot see images"


def test_an_answer_says_what_was_left_out_of_its_prompt(bench):
    one = bench(SpellingRunner())
    for number, texts in ((1, "abcd"), (2, "ab")):
        one.worker.post(Submit(number, one.say(*texts)))
    assert one.last(1).chunk.usage == Usage(4, sampled_tokens=1, cut_messages=2, cut_tokens=7)
    assert one.last(2).chunk.usage == Usage(2, sampled_tokens=1)


def test_the_engine_brings_them_to_the_process_and_back(engine, add_echo):
    add_echo()
    asked = CountRequest(GenerateRequest("echo", (Message.of("user", "a b c"),)))
    assert engine.tokens(asked).result() == Tokens(3)
    with pytest.raises(UsageError, match="`echo` does not show its tokens"):
        engine.tokens(TokenizeRequest("echo", "a")).result()
