"""Requests to a server that speaks Ollama's API, and its errors as ours."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Any, Self

import httpx

from olpipe import errors
from olpipe.client.presence import PRODUCT, nobody
from olpipe.errors import ModelNotFound, OlpipeError, ServerUnreachable, UsageError
from olpipe.network.addresses import Address

_CONNECTS_WITHIN_S = 10.0
_VERSION_WITHIN_S = 2.0
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
        if address.is_unix and sys.platform == "win32":
            hint = "set OLLAMA_HOST to a name and a port"
            raise UsageError(f"this system has no sockets in the file system: {address}", hint=hint)
        self.address = address
        # A transport of our own asks no proxy, and none stands between a client and its own machine
        socket = address.path if address.is_unix else None
        transport = httpx.HTTPTransport(uds=socket) if address.is_local else None
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

    @cached_property
    def version(self) -> dict[str, Any]:
        """What it says of itself: its `version`, and its `product` where it is olpipe.

        Raises:
            ServerUnreachable: Nobody answers soon, or something that is no such server.
        """
        found = self.get("/api/version", within_s=_VERSION_WITHIN_S)
        if not isinstance(found.get("version"), str):
            raise _no_server(self.address)
        return found

    @property
    def is_olpipe(self) -> bool:
        """Whether it says that it is olpipe. If not, it is a server that knows Ollama's API only."""
        return self.version.get("product") == PRODUCT

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
            if (reason := _distrusted(error)) is not None:
                message = f"the certificate of the server at {self.address} is not trusted: {reason}"
                raise ServerUnreachable(message, hint=_CERTIFICATE) from error
            raise nobody(self.address) from error
        except httpx.TimeoutException as error:
            raise ServerUnreachable(f"the server at {self.address} does not answer", hint=_WAIT) from error
        except (httpx.TransportError, httpx.StreamError) as error:
            raise ServerUnreachable(f"the server at {self.address} went away", hint=_GONE) from error


_CERTIFICATE = "let SSL_CERT_FILE name a file with the certificate, if you trust it"
_WAIT = "wait, and run the command again"
_GONE = "look at its log, start it again with `olpipe serve`, then run the command again"


def _distrusted(error: BaseException) -> str | None:
    """Return why a certificate is not trusted; None where something else is wrong."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return None if cause is None else cause.verify_message


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
    if response.status_code == httpx.codes.UNAUTHORIZED:
        asked = response.request.headers
        problem = "does not know the key" if "Authorization" in asked else "lets nobody in without a key"
        raise UsageError(f"the server at {address} {problem}", hint="set OLPIPE_API_KEY to a key of the server")
    if response.status_code == httpx.codes.FORBIDDEN and not response.content:
        message = f"the server at {address} does not know that name of its machine"
        raise UsageError(message, hint="write the IP address of the machine into OLLAMA_HOST")
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "error" not in body:
        raise _no_server(address)
    raise error_of(body, response.status_code)


def _parsed(data: bytes, address: Address) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _no_server(address)
    return found


def _no_server(address: Address) -> ServerUnreachable:
    return ServerUnreachable(f"what answers at {address} is no server of models", hint="look at OLLAMA_HOST")
