"""Many clients at once: well-behaved ones, some that leave in the middle, some that send rubbish, and a dying model."""

import http.client
import json
import os
import random
import signal
import threading
import time

import psutil
import pytest

LOAD_S = 60.0
STEADY, LEAVING, MALFORMED = 48, 8, 8
MIB = 1 << 20

PROMPTS = ["the cat", "the dog and", "a photo of", "in the street", "is it on the", "title of the", "alt", "the the"]
RUBBISH = [
    b"", b"{", b"[]", b'"text"', b"null", b"\x00\xff" * 50, b'{"model": 3}', b'{"model": "tiny", "messages": "no"}',
    b'{"model": "tiny", "messages": [{"role": "user", "images": ["%%%"]}]}', b'{"model": "../../etc", "prompt": "a"}',
    b'{"model": "tiny", "prompt": "a", "options": {"temperature": "hot"}}', b"[" * 20_000,
    b'{"model": "tiny", "prompt": "a", "format": {"type": "objekt"}}',
]  # fmt: skip


def body(number):
    options = {"num_predict": 24, "seed": number, "temperature": 1.0}
    return {"model": "tiny", "messages": [{"role": "user", "content": PROMPTS[number]}], "options": options}


class Clients:
    """Threads that ask one server until they are stopped. What goes wrong is collected."""

    def __init__(self, server):
        self.server, self.stop = server, threading.Event()
        self.wrong, self.counts, self._threads = [], {"answers": 0, "left": 0, "refused": 0, "errors": 0}, []
        self.expected = {}

    def expect(self):
        """Note what each question is answered when nobody else asks."""
        for number in range(len(PROMPTS)):
            lines = self.server.lines("/api/chat", body(number))
            self.expected[number] = "".join(line["message"]["content"] for line in lines)

    def run(self, behaviour, count):
        for number in range(count):
            self._threads.append(threading.Thread(target=self._loop, args=(behaviour, random.Random(number))))
            self._threads[-1].start()

    def wait_for_answers(self):
        """Wait until some more answers came, so that the model is known to be at work."""
        before = self.counts["answers"]
        while self.counts["answers"] < before + 5 and not self.wrong:
            time.sleep(0.05)

    def end(self):
        self.stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a request was never answered"

    def _loop(self, behaviour, chance):
        while not self.stop.is_set():
            try:
                self.counts[behaviour(chance)] += 1
            except (OSError, http.client.HTTPException, ValueError, AssertionError) as error:
                self.wrong.append(repr(error))
                return

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)

    def steady(self, chance):
        """Ask and read to the end. The text must be that of this question, and nobody else's."""
        number = chance.randrange(len(PROMPTS))
        connection = self.connection()
        try:
            connection.request("POST", "/api/chat", json.dumps(body(number)))
            lines = [json.loads(line) for line in connection.getresponse()]
        finally:
            connection.close()
        if "error" in lines[-1]:
            return "errors"
        text = "".join(line["message"]["content"] for line in lines)
        assert lines[-1]["done"] is True, lines[-1]
        assert text == self.expected[number], (number, text)
        return "answers"

    def leaving(self, chance):
        """Ask, read some lines or none, and hang up."""
        connection = self.connection()
        connection.request("POST", "/api/chat", json.dumps(body(chance.randrange(len(PROMPTS)))))
        if chance.random() < 0.7:
            reply = connection.getresponse()
            for _ in range(chance.randrange(8)):
                reply.readline()
        connection.close()
        return "left"

    def malformed(self, chance):
        """Send rubbish. It must be refused, and say why."""
        data = chance.choice(RUBBISH)
        connection = self.connection()
        try:
            connection.request("POST", chance.choice(["/api/chat", "/api/generate"]), data)
            reply = connection.getresponse()
            said = reply.read()
        finally:
            connection.close()
        loads = data in (b"null", b"[]") or b'"tiny"' in data
        assert 400 <= reply.status < 500 or (loads and reply.status == 200), (data[:40], reply.status, said)
        return "refused"


def resident_bytes(server):
    process = psutil.Process(server.process.pid)
    return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))


def slope(samples):
    """Return the slope of the least-squares line through (seconds, bytes), in bytes a second."""
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    above = sum((x - mean_x) * (y - mean_y) for x, y in samples)
    return above / sum((x - mean_x) ** 2 for x, _ in samples)


@pytest.mark.slow
def test_many_clients_get_their_own_answers_and_no_memory_is_lost(start_server, capsys):
    server = start_server(OLLAMA_NUM_PARALLEL="8")
    clients = Clients(server)
    clients.expect()
    clients.run(clients.steady, STEADY)
    clients.run(clients.leaving, LEAVING)
    clients.run(clients.malformed, MALFORMED)
    started, samples = time.monotonic(), []
    while (spent := time.monotonic() - started) < LOAD_S:
        if spent > LOAD_S / 3:  # the first third warms up
            samples.append((spent, resident_bytes(server)))
        time.sleep(0.5)
    clients.end()
    with capsys.disabled():
        print(
            f"\n{clients.counts}, memory {samples[-1][1] / MIB:.0f} MiB, {slope(samples) * 60 / MIB:+.1f} MiB a minute"
        )
    assert clients.wrong == []
    assert clients.counts["errors"] == 0
    assert min(clients.counts[name] for name in ("answers", "left", "refused")) > 0
    assert samples[-1][1] < samples[0][1] * 1.15 + 32 * MIB
    _, answer = server.post("/api/chat", {**body(0), "stream": False})
    assert answer["message"]["content"] == clients.expected[0]


def test_a_model_that_dies_under_load_costs_only_what_it_was_answering(start_server):
    server = start_server(OLLAMA_NUM_PARALLEL="4")
    clients = Clients(server)
    clients.expect()
    clients.run(clients.steady, 12)
    for _ in range(3):
        clients.wait_for_answers()
        (loaded,) = [one for one in server.get("/api/ps")[1]["models"] if one["name"] == "tiny:latest"]
        assert loaded["active"] > 0
        for child in psutil.Process(server.process.pid).children():
            if "olpipe.engine.child" in child.cmdline():
                os.kill(child.pid, signal.SIGKILL)
    clients.wait_for_answers()
    clients.end()
    assert clients.wrong == []
    assert clients.counts["answers"] > 0
    assert clients.counts["errors"] > 0
    _, answer = server.post("/api/chat", {**body(1), "stream": False})
    assert answer["message"]["content"] == clients.expected[1]
