"""Read small answers whole, with a limit for their bytes and for the time that they take. Nothing is unpacked."""

from __future__ import annotations

import time

import httpx

from olpipe.default_plugins.sources.transfer.connections import broken
from olpipe.default_plugins.sources.transfer.trouble import Transient, Trouble


def read_answer(response: httpx.Response, most_bytes: int, within_s: float) -> bytes:
    """Return the body of an answer.

    Args:
        response: The answer.
        most_bytes: How many bytes it may have.
        within_s: How long it may take, however steadily it comes.

    Raises:
        Trouble: It is too large, or it is packed.
        Transient: It took too long, or the connection broke.
    """
    check_plain(response)
    host = response.request.headers["Host"]
    too_large = Trouble(f"`{host}` sends more than {most_bytes} bytes where a small answer is expected")
    declared = response.headers.get("content-length", "")
    if declared.isascii() and declared.isdecimal() and int(declared) > most_bytes:
        raise too_large
    ends = time.monotonic() + within_s
    data = bytearray()
    try:
        for piece in response.iter_raw():
            data += piece
            if len(data) > most_bytes:
                raise too_large
            if time.monotonic() > ends:
                raise Transient(f"`{host}` has not sent the whole of a small answer within {within_s:g} seconds")
    except (httpx.TransportError, httpx.StreamError) as error:
        raise broken(host, error) from error
    return bytes(data)


def check_plain(response: httpx.Response) -> None:
    """Check that a body comes as it is. A packed one may be millions of times as large as what comes.

    Raises:
        Trouble: It is packed.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        host = response.request.headers["Host"]
        raise Trouble(f"`{host}` sends a file in the encoding `{encoding:.40}`, though it was asked not to")
