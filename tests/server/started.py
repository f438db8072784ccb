"""A server that really runs, in a process of its own, for the tests of this folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

STARTS_WITHIN_S = 60.0


class Started:
    """A running `olpipe serve`. Use it as a context manager.

    Attributes:
        url: Its address, without a slash at the end.
        port: Its port.
        home: Its OLPIPE_HOME.
        log: The file that its stdout and stderr go to.
        process: The process.
    """

    def __init__(self, home: Path, log: Path, *, host: str = "127.0.0.1", port: int = 0, **environment: str) -> None:
        """Start it and wait until it answers.

        Args:
            home: OLPIPE_HOME. Its `models` are the models.
            log: The file for its output.
            host: The address that it listens at. Tests always reach it at 127.0.0.1.
            port: The port; 0 takes one that is free.
            **environment: Further variables, such as OLLAMA_KEEP_ALIVE.
        """
        self.home, self.log = home, log
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        variables = {**os.environ, "OLPIPE_HOME": str(home), "OLLAMA_HOST": f"{host}:{self.port}", **environment}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "olpipe", "serve"], env=variables, stdout=output, stderr=output,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended at its start:\n{self.log.read_text()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()}")

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Return the status and the JSON (or text) of a GET."""
        return self.call("GET", path, None, **headers)

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Return the status and the JSON (or text) of a POST. A body that is not bytes is sent as JSON."""
        return self.call("POST", path, body, **headers)

    def call(self, method: str, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Return the status and the JSON (or text) of the answer to a request."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        request = urllib.request.Request(self.url + path, data, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return reply.status, _value(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, _value(error.read())

    def lines(self, path: str, body: Any) -> list[Any]:
        """Return the lines of a stream, each of them JSON."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=120) as reply:
            return [json.loads(line) for line in reply]

    def close(self) -> None:
        """Stop it as a person does, and wait for that."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _value(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()
