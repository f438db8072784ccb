"""Everything at once: threads that ask, cancel, unload and kill at random, and an engine that loses no request."""

import os
import random
import signal
import threading
from contextlib import suppress

import pytest

from olpipe.embedding import EmbedRequest
from olpipe.errors import BackendCrashed, Busy
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.messages import Message

MODELS = ("one", "two", "three")
THREADS, REQUESTS = 6, 25
PATIENCE_S = 240.0


class Client:
    """Asks at random, and keeps what became of each request."""

    def __init__(self, engine, seed, *, kills):
        self.engine, self.random, self.kills = engine, random.Random(seed), kills
        self.outcomes, self.wrong = [], []

    def ask_all(self):
        for number in range(REQUESTS):
            self.outcomes.append(self.ask(f"request {number}"))

    def ask(self, text):
        model, client = self.random.choice(MODELS), self.random.choice("ab")
        what = self.random.choice(["read", "read", "read", "cancel", "drop", "embed", "load", "unload", "kill"])
        stay_s = self.random.choice([None, 0.0, 0.05, -1.0])
        try:
            if what == "embed":
                vectors = self.engine.embed(EmbedRequest(model, (text,)), client=client, keep_alive_s=stay_s).result()
                return f"{len(vectors.vectors)} vectors"
            if what == "load":
                return f"{self.engine.load(model, keep_alive_s=stay_s).result().slots} slots"
            if what == "unload":
                return self.engine.unload(model)
            if what == "kill":
                return self.kill()
            request = GenerateRequest(model, (Message.of("user", text),))
            return self.follow(self.engine.submit(request, client=client, keep_alive_s=stay_s), text, what)
        except Busy:
            return "busy"
        except BackendCrashed:
            return "crashed"

    def follow(self, stream, text, what):
        if what == "drop":
            return "dropped"
        timer = threading.Timer(self.random.random() / 5, stream.cancel)
        if what == "cancel":
            timer.start()
        try:
            completion = stream.completion()
        finally:
            if timer.is_alive():
                timer.join()
        if completion.finish_reason is FinishReason.CANCELLED:
            return "cancelled"
        if completion.text != text:
            self.wrong.append((text, completion.text))
        return "answered"

    def kill(self):
        for model in self.engine.loaded() if self.kills else ():
            if model.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(model.pid, signal.SIGKILL)
        return "killed"


@pytest.mark.slow
@pytest.mark.parametrize("kills", [False, True])
def test_every_request_ends_whatever_happens_around_it(start, add_echo, kills):
    for model in MODELS:
        add_echo(model, options='{"delay_s": 0.01, "slots": 2}')
    engine = start(max_loaded=2, max_queue=8)
    clients = [Client(engine, seed, kills=kills) for seed in range(THREADS)]
    threads = [threading.Thread(target=client.ask_all, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [thread.name for thread in threads if thread.is_alive()] == []
    assert [client.wrong for client in clients] == [[]] * THREADS
    outcomes = [outcome for client in clients for outcome in client.outcomes]
    assert len(outcomes) == THREADS * REQUESTS
    assert "answered" in outcomes
    assert kills or "crashed" not in outcomes
