"""Fetch the images whose URLs are in a request, from hosts that the settings allow.

A URL in a request is a stranger's. So its host is resolved once, every address that it has is checked, and the
connection goes to one of these very addresses: another answer of the name server later on changes nothing. A redirect
is checked in the same way. Whether a host is unknown or forbidden is not told, so that nobody learns what there is in
the server's network.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from types import ModuleType
from typing import TYPE_CHECKING

import anyio

from olpipe import __version__
from olpipe.errors import first_line
from olpipe.network.addresses import MOST_PORT
from olpipe.network.public_addresses import IPAddress, is_public
from olpipe.network.reachable import Reachable
from olpipe.server.bridge import in_thread
from olpipe.server.question import EncodedImage, Question
from olpipe.server.refusal import Refusal

if TYPE_CHECKING:
    import ssl

    import httpx

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host. It raises an `OSError` where it has none."""

WITHIN_S = 20.0
"""An image must have arrived so long after it was asked for, redirects included."""

MOST_BYTES = 64 << 20
"""Most bytes of one image."""

MOST_REDIRECTS = 3
MOST_URLS = 32
"""Most URLs in one request."""

LONGEST_URL = 8192
LONGEST_SHOWN = 120
USUAL_PORTS = (80, 443)
"""The ports of hosts that are not listed themselves."""

_CONTENT = ("application/octet-stream", "binary/octet-stream", "")  # and everything that begins with `image/`
_HEADERS = {"User-Agent": f"olpipe/{__version__}", "Accept": "image/*,*/*;q=0.1", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where an image is, checked.

    Attributes:
        url: Its URL.
        address: The address to connect to.
    """

    url: httpx.URL
    address: str


class ImageUrls:
    """Fetches images from the hosts that are allowed."""

    def __init__(
        self,
        reachable: Reachable,
        *,
        most_bytes: int = MOST_BYTES,
        within_s: float = WITHIN_S,
        resolve: Resolve | None = None,
    ) -> None:
        """Fetch nothing yet.

        Args:
            reachable: The hosts that are allowed.
            most_bytes: Most bytes of all images of a request together; 0 allows any number.
            within_s: How long one image may take.
            resolve: Finds the addresses of a host. None asks the system.
        """
        self._reachable = reachable
        self._most_bytes = most_bytes
        self._within_s = within_s
        self._resolve = resolve or _resolve
        self._tls: ssl.SSLContext | None = None

    async def with_images(self, questions: Sequence[Question]) -> list[Question]:
        """Return questions with the images that their URLs stand for. Each URL is fetched once.

        Raises:
            Refusal: An image must not be fetched, or cannot be.
        """
        urls = dict.fromkeys(image.url for question in questions for image in question.images if image.url)
        if not urls:
            return list(questions)
        if len(urls) > MOST_URLS:
            raise Refusal(400, f"the request has {len(urls)} image URLs, and at most {MOST_URLS} are allowed")
        found: dict[str, bytes] = {}
        for url in urls:
            found[url] = await self.fetch(url, already=sum(map(len, found.values())))
        return [_filled(question, found) for question in questions]

    async def fetch(self, url: str, *, already: int = 0) -> bytes:
        """Return the bytes of an image.

        Args:
            url: Where it is.
            already: How many bytes other images of the request have.

        Raises:
            Refusal: It must not be fetched, or cannot be.
        """
        if not self._reachable:
            told = "image URLs are not currently supported, please use base64 encoded data instead"
            raise Refusal(400, told, hint="the server's OLPIPE_IMAGE_URLS says which hosts it may fetch from")
        most = min(MOST_BYTES, self._most_bytes - already) if self._most_bytes else MOST_BYTES
        httpx = await in_thread(_httpx)
        try:
            with anyio.fail_after(self._within_s):
                return await self._follow(url, most)
        except TimeoutError as error:
            message = f"the image at `{_shown(url)}` has not arrived within {self._within_s:g} seconds"
            raise Refusal(400, message) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Refusal(400, f"the image at `{_shown(url)}` cannot be fetched: {first_line(error)}") from error

    async def _follow(self, url: str, most: int) -> bytes:
        """Fetch an image, after as many redirects as are allowed."""
        import httpx

        target = await self._target(url)
        for _ in range(MOST_REDIRECTS + 1):
            found = await self._get(target, most)
            if isinstance(found, bytes):
                return found
            if target.url.scheme == "https" and httpx.URL(found).scheme == "http":
                raise Refusal(400, f"the image at `{_shown(url)}` is redirected from https to http")
            target = await self._target(found)
        raise Refusal(400, f"the image at `{_shown(url)}` is redirected more than {MOST_REDIRECTS} times")

    async def _target(self, text: str) -> Target:
        """Check a URL, and everything that its host may be.

        Raises:
            Refusal: It is none that the server may fetch.
        """
        import httpx

        if len(text) > LONGEST_URL:
            raise Refusal(400, f"an image URL has {len(text)} characters, and at most {LONGEST_URL} are allowed")
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError) as error:
            raise Refusal(400, f"`{_shown(text)}` is not a URL: {first_line(error)}") from error
        host = url.raw_host.decode("ascii").lower().rstrip(".")
        if url.scheme not in ("http", "https") or not host:
            raise Refusal(400, f"`{_shown(text)}` is not a URL of http or https with a host")
        if url.userinfo:
            raise Refusal(400, "an image URL must not have a user name or a password in it")
        port = url.port or (443 if url.scheme == "https" else 80)
        if port > MOST_PORT:
            raise Refusal(400, f"`{_shown(text)}` is not a URL: there is no port {port}")
        return Target(url, await self._address(text, host, port))

    async def _address(self, url: str, host: str, port: int) -> str:
        """Return an address of a host that may be connected to. Where one of them may not, none may."""
        named = self._reachable.names_host(host) or (self._reachable.public and port in USUAL_PORTS)
        if not named and _literal(host) is None:  # not even the name server learns of it
            raise _forbidden(url)
        try:
            found = [ip_address(text.partition("%")[0]) for text in await self._resolve(host, port)]
        except (OSError, ValueError) as error:
            raise _forbidden(url) from error
        for address in found:
            if not (self._reachable.names_address(address) or (named and is_public(address))):
                raise _forbidden(url)
        if not found:
            raise _forbidden(url)
        return str(found[0])

    async def _get(self, target: Target, most: int) -> bytes | str:
        """Return an image, or the URL that its host redirects to."""
        import httpx

        if self._tls is None:
            self._tls = await in_thread(httpx.create_ssl_context)
        url, host = target.url, target.url.raw_host.decode("ascii")
        # A client of its own, so that no connection that was made for another host is used again
        async with httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=self._within_s) as client:
            request = client.build_request(
                "GET",
                url.copy_with(host=target.address, fragment=None),
                headers={**_HEADERS, "Host": url.netloc.decode("ascii")},
                extensions={"sni_hostname": host},
            )
            response = await client.send(request, stream=True)
            try:
                if response.has_redirect_location:
                    return str(url.join(response.headers["location"]))
                return await _content(response, url, most)
            finally:
                await response.aclose()


async def _content(response: httpx.Response, url: httpx.URL, most: int) -> bytes:
    """Return the body of a response, if it may be an image.

    Raises:
        Refusal: It is none, or too large.
    """
    where = f"the image at `{_shown(str(url))}`"
    if response.status_code != 200:
        raise Refusal(400, f"{where} cannot be fetched: its host answered with the status {response.status_code}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _CONTENT and not kind.startswith("image/"):
        raise Refusal(400, f"{where} is not an image: its host says that it is `{_shown(kind)}`")
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise Refusal(400, f"{where} cannot be used: its host sent it in the encoding `{_shown(encoding)}`")
    too_large = Refusal(400, f"{where} has more than {most} bytes", hint="use a smaller image")
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise too_large
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > most:
            raise too_large
    if not data:
        raise Refusal(400, f"{where} is empty")
    return bytes(data)


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[4][0]) for place in found]


def _httpx() -> ModuleType:
    """Import httpx: that takes a tenth of a second, so it is done in a thread, and only where it is used."""
    import httpx

    return httpx


def _literal(host: str) -> IPAddress | None:
    """Return the address that a host is, where it is one in its usual spelling."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _filled(question: Question, found: dict[str, bytes]) -> Question:
    turns = (
        replace(
            turn,
            parts=tuple(
                EncodedImage(found[part.url]) if isinstance(part, EncodedImage) and part.url else part
                for part in turn.parts
            ),
        )
        for turn in question.turns
    )
    return replace(question, turns=tuple(turns))


def _forbidden(url: str) -> Refusal:
    return Refusal(
        400,
        f"the image at `{_shown(url)}` cannot be fetched: its host is not known, or not one to fetch from",
        hint="the server's OLPIPE_IMAGE_URLS says which hosts it may fetch from",
    )


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
