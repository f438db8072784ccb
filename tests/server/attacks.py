"""What the tests of attacks have in common: a question that is answered, and how to see that the server survives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from tests.server.started import Started

SHORT = {"num_predict": 2}
GENERATE = {"model": "tiny", "prompt": "the cat", "stream": False, "options": SHORT}


@contextmanager
def surviving(server: Started) -> Iterator[None]:
    """After the block, the server answers others, and it has logged no fault of ours."""
    before = server.log.stat().st_size
    yield
    assert server.post("/api/generate", GENERATE)[0] == 200
    with server.log.open() as log:
        log.seek(before)
        assert "Traceback" not in log.read()


def message_of(answer: Any) -> str:
    """Return what an error says, in any API."""
    error = answer["error"]
    return str(error["message"] if isinstance(error, dict) else error)


def refused(server: Started, path: str, body: Any) -> str:
    """Send a body and return what the error says. It has to be the client's fault.

    That a format is none has the status 500 in Ollama, too.
    """
    status, answer = server.post(path, body)
    assert 400 <= status < 500 or (status == 500 and "invalid format" in message_of(answer)), (status, answer)
    return message_of(answer)


def processes(server: Started) -> set[int]:
    """Return the processes of loaded models."""
    return {child.pid for child in psutil.Process(server.process.pid).children()}


def answered_or_refused(server: Started, guidance: Any) -> None:
    """Have an answer held to something. Either that works, or it is refused; and the model's process survives it."""
    assert server.post("/api/generate", GENERATE)[0] == 200
    before = processes(server)
    status, answer = server.post("/api/generate", {**GENERATE, "format": guidance})
    assert status in (200, 400), answer
    assert before <= processes(server)
