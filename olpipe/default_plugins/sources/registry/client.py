"""Ask a registry for what belongs to a model: its manifest, and ranges of its blobs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Self

import httpx

from olpipe.default_plugins.sources.registry.access import Access
from olpipe.default_plugins.sources.registry.address import Address
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.transfer.answers import read_answer
from olpipe.default_plugins.sources.transfer.connections import Connections
from olpipe.default_plugins.sources.transfer.ranges import Body, Ranges, asked_wait_s, follow
from olpipe.default_plugins.sources.transfer.trouble import NotThere, Transient, Trouble
from olpipe.errors import DigestMismatch
from olpipe.model import Layer
from olpipe.store import digests
from olpipe.store.manifest import MAX_BYTES

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_MOST_TOLD = 16 << 10  # bytes of an answer that says what is wrong
_CODE = re.compile(r"[A-Z_]{1,40}")


class Registry:
    """A registry, and one model in it. Several threads may use it. Close it."""

    def __init__(self, address: Address, options: Options, *, actions: str = "pull") -> None:
        """Connect to nothing yet.

        Args:
            address: Where the model is.
            options: How to ask.
            actions: What is to be done with it: `pull`, or `pull,push`.
        """
        self.address = address
        self.options = options
        self._connections = Connections(address.url, options)
        self._access = Access(address, actions, self._connections, options)
        self._ranges = Ranges(partial(self.ask, "GET"), self._connections.is_own, self.check)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connections.close()

    @property
    def host(self) -> str:
        """The registry's host, with its port where it has one."""
        return self.address.host

    def manifest(self) -> bytes:
        """Return the bytes of the manifest.

        Raises:
            NotThere: There is no such model.
            Trouble: It cannot be had, or it is no manifest of one model.
            DigestMismatch: It has another digest than the registry says.
        """
        wanted = httpx.URL(self.address.of(f"manifests/{self.address.name.tag}"))
        response, _ = self.ask("GET", wanted, {"Accept": f"{DOCKER_MANIFEST}, {OCI_MANIFEST}"})
        try:
            if response.status_code == 404:
                raise NotThere(f"the registry `{self.address.host}` has no model `{self.address.name}`")
            self.check(response, "the manifest")
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind.endswith((".image.index.v1+json", ".manifest.list.v2+json")):
                message = f"`{self.address.name}` is a list of images for several systems, and no model"
                raise Trouble(message, hint="name the manifest of one model")
            data = read_answer(response, MAX_BYTES, self.options.patience.answer_s)
            _check_digest(data, response.headers.get("docker-content-digest", ""), str(self.address.name))
        finally:
            response.close()
        return data

    def open_blob(self, layer: Layer, begins: int, ends: int) -> Body:
        """Ask for a range of a blob, with its end left out.

        Raises:
            NotThere: There is no such blob.
            Trouble: It cannot be had, or has another size than its manifest says.
            Transient: Another attempt may succeed.
        """
        return self._ranges.open(httpx.URL(self.address.of(f"blobs/{layer.digest}")), layer, begins, ends)

    def ask(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str] | None = None,
        content: Callable[[], Iterable[bytes] | bytes] | None = None,
    ) -> tuple[httpx.Response, httpx.URL]:
        """Send a request, with what the registry demands, and follow redirects. No other host gets a secret.

        Args:
            method: The method. Redirects are followed for GET and HEAD only.
            url: What to ask for.
            headers: Further headers.
            content: Makes the body, anew for each attempt.

        Returns:
            The answer with its body unread, which the caller closes, and the URL that gave it.

        Raises:
            Trouble: It leads to where it must not lead, or the registry gives no access.
            Transient: Another attempt may succeed.
        """
        answered = partial(self._answer, method, headers or {}, content)
        if method in ("GET", "HEAD"):
            return follow(url, answered, self.host)
        return answered(url), url

    def _answer(
        self,
        method: str,
        headers: Mapping[str, str],
        content: Callable[[], Iterable[bytes] | bytes] | None,
        url: httpx.URL,
    ) -> httpx.Response:
        """Send a request to one URL, with what the registry demands."""
        renewed = False
        while True:
            own = self._connections.is_own(url)
            sent = self._access.headers() if own else {}
            body = None if content is None else content()
            response = self._connections.send(method, url, {**headers, **sent}, body)
            if response.status_code != 401 or not own:
                return response
            demands = response.headers.get_list("www-authenticate")
            response.close()
            if renewed:
                raise self._access.refusal()
            self._access.renew(demands, sent)
            renewed = True

    def check(self, response: httpx.Response, what: str, status: int = 200) -> None:
        """Check the status of an answer.

        Args:
            response: The answer.
            what: What was asked for.
            status: The status of success.

        Raises:
            NotThere: There is no such thing.
            Trouble: It cannot be had.
            Transient: Another attempt may succeed.
        """
        found, host = response.status_code, response.request.headers["Host"]
        if found == status:
            return
        if found in (401, 403):
            raise self._access.refusal()
        message = f"`{host}` answered with the status {found} when asked for {what}{_code(response)}"
        if found == 404:
            raise NotThere(message)
        if found in (408, 425, 429) or found >= 500:
            raise Transient(message, wait_s=asked_wait_s(response))
        raise Trouble(message)


def _check_digest(data: bytes, told: str, what: str) -> None:
    """Check a digest that a registry tells, if it tells one of the usual kind."""
    try:
        wanted = digests.normalised(told)
    except ValueError:
        return
    found = digests.of_bytes(data)
    if found != wanted:
        message = f"the manifest of `{what}` has the digest {found}, and its registry says {wanted}"
        raise DigestMismatch(message, hint="it was changed on the way: pull again")


def _code(response: httpx.Response) -> str:
    """Return the code that a registry gives for what is wrong, in brackets; empty where it gives none.

    Its text is not told: with it, anybody could have olpipe say anything.
    """
    try:
        errors = json.loads(read_answer(response, _MOST_TOLD, 5.0))["errors"]
        code = errors[0]["code"]
    except (Trouble, Transient, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""
