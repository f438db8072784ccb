"""What `serve.py` compares: olpipe's server, olpipe's engine without a server, and llama.cpp's server."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from llama_server import LlamaServer
from vision_sides import library

from olpipe.engine.manager import Engine
from olpipe.generation import GenerateRequest, Guidance, SamplingParams
from olpipe.messages import Message
from olpipe.plugins import Plugins
from olpipe.settings import Settings

STARTS_WITHIN_S = 120.0
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for.

    Attributes:
        prompt: The user's message.
        max_tokens: Most tokens of the answer.
        schema: A JSON Schema as JSON text; empty for free text.
        temperature: 0 picks the most probable token.
        seed: The seed.
    """

    prompt: str
    max_tokens: int
    schema: str = ""
    temperature: float = 0.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        text: What was written.
        tokens: Tokens of the answer.
        first_s: Seconds until the first piece came.
        seconds: Seconds until the end came.
    """

    text: str
    tokens: int
    first_s: float
    seconds: float


class Side(ABC):
    """Something that answers. Use it as a context manager."""

    name: str

    @abstractmethod
    def ask(self, asked: Asked) -> Answer:
        """Answer. Several threads may call it."""

    @abstractmethod
    def close(self) -> None:
        """Stop it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class InProcess(Side):
    """olpipe's engine, called from Python."""

    name = "engine"

    def __init__(self, model: str, settings: Settings) -> None:
        self._model = model
        self._engine = Engine(library(settings), Plugins.load(settings), settings)
        self._engine.load(model, keep_alive_s=-1).result()

    def ask(self, asked: Asked) -> Answer:
        sampling = SamplingParams(temperature=asked.temperature, seed=asked.seed, max_tokens=asked.max_tokens)
        guidance = Guidance("json_schema", asked.schema) if asked.schema else None
        request = GenerateRequest(self._model, (Message.of("user", asked.prompt),), sampling, guidance, perceivers=())
        started = time.perf_counter()
        first = 0.0
        stream = self._engine.submit(request, keep_alive_s=-1)
        for chunk in stream:
            first = first or (time.perf_counter() - started if chunk.text else 0.0)
        seconds = time.perf_counter() - started
        whole = stream.completion()
        return Answer(whole.text, whole.usage.sampled_tokens + whole.usage.forced_tokens, first or seconds, seconds)

    def close(self) -> None:
        self._engine.close()


class Server(Side):
    """A server that streams its answers."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80

    def get(self, path: str) -> float:
        """Return how many seconds a GET takes."""
        started = time.perf_counter()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()
        return time.perf_counter() - started

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[bytes]:
        """Yield the lines of the answer to a POST."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            if reply.status != http.client.OK:
                raise SystemExit(f"{self.name} refused: {reply.read()[:500].decode()}")
            yield from reply
        finally:
            connection.close()


class Olpipe(Server):
    """`olpipe serve`."""

    name = "olpipe serve"

    def __init__(self, model: str, settings: Settings, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        super().__init__(f"http://127.0.0.1:{port}")
        self._model = model
        variables = {
            **os.environ, "OLPIPE_HOME": str(settings.home), "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_KEEP_ALIVE": "-1", **environment,
        }  # fmt: skip
        command = [sys.executable, "-m", "olpipe", "serve"]
        self._process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                self.get("/api/version")
                break
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def ask(self, asked: Asked) -> Answer:
        options = {"temperature": asked.temperature, "seed": asked.seed, "num_predict": asked.max_tokens}
        options |= {"top_k": 0, "top_p": 1.0}
        body: dict[str, Any] = {
            "model": self._model, "messages": [{"role": "user", "content": asked.prompt}], "options": options,
        }  # fmt: skip
        if asked.schema:
            body["format"] = json.loads(asked.schema)
        started, first, texts, tokens = time.perf_counter(), 0.0, [], 0
        for line in self.stream("/api/chat", body):
            piece = json.loads(line)
            if "error" in piece:
                raise SystemExit(f"{self.name}: {piece['error']}")
            texts.append(piece["message"]["content"])
            first = first or (time.perf_counter() - started if texts[-1] else 0.0)
            tokens = piece.get("eval_count", tokens)
        seconds = time.perf_counter() - started
        return Answer("".join(texts), tokens, first or seconds, seconds)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)


class LlamaCpp(Server):
    """llama.cpp's server, in a process of another interpreter."""

    name = "llama.cpp"

    def __init__(self, python: Path, model: Path, *, slots: int, context: int, threads: int) -> None:
        wanted = {
            "model": str(model), "projector": "", "slots": slots, "context": context, "image_tokens": 0,
            "threads": threads, "flash_attention": "auto", "verbosity": 1,
        }  # fmt: skip
        self._server = LlamaServer(python, wanted)
        super().__init__(self._server.address)

    def ask(self, asked: Asked) -> Answer:
        body: dict[str, Any] = {
            "messages": [{"role": "user", "content": asked.prompt}], "stream": True, "max_tokens": asked.max_tokens,
            "temperature": asked.temperature, "seed": asked.seed, "top_k": 0, "top_p": 1.0, "min_p": 0.0,
            "stream_options": {"include_usage": True},
        }  # fmt: skip
        if asked.schema:
            schema = {"name": "record", "strict": True, "schema": json.loads(asked.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        started, first, texts, tokens = time.perf_counter(), 0.0, [], 0
        for line in self.stream("/v1/chat/completions", body):
            if not line.startswith(b"data: {"):
                continue
            piece = json.loads(line[6:])
            for choice in piece["choices"]:
                texts.append(choice["delta"].get("content") or "")
                first = first or (time.perf_counter() - started if texts[-1] else 0.0)
            tokens = (piece.get("usage") or {}).get("completion_tokens", tokens)
        seconds = time.perf_counter() - started
        return Answer("".join(texts), tokens, first or seconds, seconds)

    def close(self) -> None:
        self._server.close()


def with_options(settings: Settings, *, slots: int, threads: int) -> Settings:
    """Return the settings of every side of olpipe."""
    return replace(settings, slots=slots, threads=threads, keep_alive_s=-1.0)
