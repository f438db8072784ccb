"""Requests to a server that speaks Ollama's API, and its errors as ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Self

import httpx

from olpipe import errors
from olpipe.errors import ModelNotFound, OlpipeError, ServerUnreachable, UsageError, first_line
from olpipe.network.addresses import Address

_CONNECTS_WITHIN_S = 10.0
_CLASSES: Mapping[str, type[OlpipeError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, OlpipeError)
}


class Server:
    """A server. It is a context manager: at the end, its connections are closed.

    An answer may take any time, since a model may have to be built for it. A server that goes away ends it.
    """

    def __init__(self, address: Address, *, key: str = "") -> None:
        """Connect to nothing yet.

        Args:
            address: Where it is.
            key: The key that lets the client in; empty sends none.
        """
        self.address = address
        transport = httpx.HTTPTransport(uds=address.path) if address.is_unix else None
        base = "http://localhost" if address.is_unix else str(address)
        self._client = httpx.Client(
            base_url=base,
            transport=transport,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=_CONNECTS_WITHIN_S),
            follow_redirects=True,
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def get(self, path: str, *, within_s: float | None = None) -> dict[str, Any]:
        """Return the JSON at a path.

        Args:
            path: The path, such as `/api/tags`.
            within_s: How long it may take; None waits.

        Raises:
            ServerUnreachable: Nobody answers, or something that is no such server.
            OlpipeError: The server's error.
        """
        timeout = httpx.USE_CLIENT_DEFAULT if within_s is None else httpx.Timeout(within_s)
        with self._telling():
            return _json(self._client.get(path, timeout=timeout), self.address)

    def post(self, path: str, body: Mapping[str, Any], *, method: str = "POST") -> dict[str, Any]:
        """Send JSON, and return the JSON of the answer; nothing where the answer is empty.

        Raises:
            ServerUnreachable: Nobody answers, or something that is no such server.
            OlpipeError: The server's error.
        """
        with self._telling():
            return _json(self._client.request(method, path, json=body), self.address)

    def lines(self, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Send JSON, and yield the lines of the answer as they come. Closing the iterator ends the request.

        Raises:
            ServerUnreachable: Nobody answers, or the server goes away in the middle.
            OlpipeError: The server's error, before the first line or in one.
        """
        with self._telling(), self._client.stream("POST", path, json=body) as response:
            if response.is_error:
                response.read()
                _json(response, self.address)
            for line in response.iter_lines():
                if line:
                    found = _parsed(line.encode(), self.address)
                    if "error" in found:
                        raise error_of(found, response.status_code)
                    yield found

    def has(self, path: str) -> bool:
        """Say whether there is something at a path.

        Raises:
            ServerUnreachable: Nobody answers.
        """
        with self._telling():
            return self._client.head(path).is_success

    def send(self, path: str, file: IO[bytes]) -> None:
        """Send the bytes of a file.

        Raises:
            ServerUnreachable: Nobody answers, or the server goes away in the middle.
            OlpipeError: The server's error.
        """
        with self._telling():
            _json(self._client.post(path, content=file), self.address)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what goes wrong with a connection into one error."""
        try:
            yield
        except httpx.ConnectError as error:
            message = f"no server answers at {self.address}"
            hint = "run `olpipe serve` in another window, or unset OLLAMA_HOST"
            raise ServerUnreachable(message, hint=hint) from error
        except httpx.TimeoutException as error:
            raise ServerUnreachable(f"the server at {self.address} does not answer", hint=_WAIT) from error
        except (httpx.TransportError, httpx.StreamError) as error:
            message = f"the server at {self.address} went away: {first_line(error)}"
            raise ServerUnreachable(message, hint="look at its log, and run `olpipe serve` again") from error


_WAIT = "wait, and run the command again"


def error_of(body: Mapping[str, Any], status: int) -> OlpipeError:
    """Return the error that a server tells of. Ours say of which kind they are."""
    message, hint = body.get("error"), body.get("hint")
    kind = _CLASSES.get(str(body.get("kind")))
    if kind is None:
        kind = ModelNotFound if status == 404 else UsageError if status == 400 else OlpipeError
    text = message if isinstance(message, str) and message else f"the server answered with status {status}"
    return kind(text, hint=hint if isinstance(hint, str) else None)


def _json(response: httpx.Response, address: Address) -> dict[str, Any]:
    """Return the body of an answer.

    Raises:
        ServerUnreachable: It is no JSON object.
        OlpipeError: It is an error.
    """
    if response.is_success:
        return _parsed(response.content, address) if response.content.strip() else {}
    try:
        body = json.loads(response.content)
    except ValueError:
        body = {"error": response.text.strip() or f"status {response.status_code}"}
    if response.status_code in (401, 403):
        hint = "set OLPIPE_API_KEY to a key of the server"
        raise UsageError(f"the server at {address} lets nobody in without a key", hint=hint)
    raise error_of(body if isinstance(body, dict) else {}, response.status_code)


def _parsed(data: bytes, address: Address) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ServerUnreachable(f"what answers at {address} is no server of models", hint="look at OLLAMA_HOST")
    return found
