"""Open ranges of blobs at a host, follow where it leads, and check what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import httpx

from olpipe.default_plugins.sources.transfer.answers import check_plain
from olpipe.default_plugins.sources.transfer.connections import next_url
from olpipe.default_plugins.sources.transfer.options import TransferOptions
from olpipe.default_plugins.sources.transfer.trouble import Trouble
from olpipe.model import Layer

MOST_REDIRECTS = 5

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_STALE = (400, 401, 403, 404, 410)  # how object storage answers to a URL that has expired

Ask = Callable[[httpx.URL, Mapping[str, str]], tuple[httpx.Response, httpx.URL]]
"""Asks a URL with some headers, and returns the answer with its body unread, and the URL that gave it."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a blob, or of a range of it, unread.

    Attributes:
        response: The answer. Close it.
        whole: Whether it is the whole blob, though a range was asked for.
    """

    response: httpx.Response
    whole: bool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.response.close()


class BlobHost(Protocol):
    """A host that blobs are downloaded from. Several threads may use it."""

    @property
    def host(self) -> str:
        """Its name, with its port where it has one."""

    @property
    def options(self) -> TransferOptions:
        """How it is asked."""

    def open_blob(self, layer: Layer, begins: int, ends: int) -> Body:
        """Ask for a range of a blob, with its end left out.

        Raises:
            Trouble: It cannot be had, or has another size than was said.
            Transient: Another attempt may succeed.
        """


class Ranges:
    """Opens ranges of the blobs of one host. It remembers where redirects led, until that place no longer answers."""

    def __init__(
        self, ask: Ask, is_own: Callable[[httpx.URL], bool], check: Callable[[httpx.Response, str, int], None]
    ) -> None:
        """Ask nothing yet.

        Args:
            ask: Asks a URL, and follows redirects.
            is_own: Says whether a URL belongs to the host itself.
            check: Checks the status of an answer to a request for something, where another status would be a success.
        """
        self._ask = ask
        self._is_own = is_own
        self._check = check
        self._direct: dict[str, httpx.URL] = {}

    def open(self, own: httpx.URL, layer: Layer, begins: int, ends: int) -> Body:
        """Ask for a range of a blob, with its end left out.

        Args:
            own: Where the host has the blob.
            layer: The blob.
            begins: Where the range begins.
            ends: Where it ends.

        Raises:
            Trouble: It cannot be had, or has another size than was said.
            Transient: Another attempt may succeed.
        """
        headers = {"Range": f"bytes={begins}-{ends - 1}"}
        url = self._direct.get(layer.digest, own)
        response, found = self._ask(url, headers)
        if url is not own and response.status_code in _STALE:
            response.close()
            self._direct.pop(layer.digest, None)
            response, found = self._ask(own, headers)
        try:
            whole = self._is_whole(response, layer, begins, ends)
        except BaseException:
            response.close()
            raise
        if not self._is_own(found):
            self._direct[layer.digest] = found
        return Body(response, whole)

    def _is_whole(self, response: httpx.Response, layer: Layer, begins: int, ends: int) -> bool:
        """Check that an answer is a range of a blob; return whether it is the whole blob instead."""
        host = response.request.headers["Host"]
        if response.status_code == 416:
            raise Trouble(f"`{host}` says that {layer.digest} is shorter than the {layer.size} bytes of its manifest")
        if response.status_code == 200:
            declared = response.headers.get("content-length", str(layer.size))
            if declared != str(layer.size):
                raise Trouble(f"`{host}` sends {declared:.20} bytes of {layer.digest}, which has {layer.size}")
            check_plain(response)
            return True
        self._check(response, f"the blob {layer.digest}", 206)
        check_plain(response)
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None or int(found[1]) != begins or not begins <= int(found[2]) < ends:
            raise Trouble(f"`{host}` sends another range of {layer.digest} than it was asked for")
        if found[3] not in ("*", str(layer.size)):
            raise Trouble(f"`{host}` says that {layer.digest} has {found[3]} bytes, and its manifest says {layer.size}")
        return False


def follow(
    url: httpx.URL, answer: Callable[[httpx.URL], httpx.Response], host: str
) -> tuple[httpx.Response, httpx.URL]:
    """Ask a URL, and follow redirects.

    Args:
        url: What to ask.
        answer: Asks one URL.
        host: Who is asked first.

    Returns:
        The answer with its body unread, which the caller closes, and the URL that gave it.

    Raises:
        Trouble: A redirect leads to where it must not lead, or there are too many.
        Transient: Another attempt may succeed.
    """
    for _ in range(MOST_REDIRECTS + 1):
        response = answer(url)
        if not response.has_redirect_location:
            return response, url
        location = response.headers["location"]
        response.close()
        url = next_url(url, location)
    raise Trouble(f"`{host}` redirects more than {MOST_REDIRECTS} times")


def asked_wait_s(response: httpx.Response) -> float:
    """Return how long an answer asks to wait before the next request; 0 where it says nothing of that."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0.0
