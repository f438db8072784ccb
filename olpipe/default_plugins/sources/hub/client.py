"""Ask the hub: what a repository has, its small files, and ranges of its large ones.

Source: https://huggingface.co/docs/hub/api
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Self
from urllib.parse import quote

import httpx

from olpipe.default_plugins.sources.hub.options import HubOptions
from olpipe.default_plugins.sources.hub.reference import HubReference
from olpipe.default_plugins.sources.hub.refusals import SENT, WITHHELD, Asker, check
from olpipe.default_plugins.sources.hub.repository import Repository, RepositoryFile
from olpipe.default_plugins.sources.transfer.answers import read_answer
from olpipe.default_plugins.sources.transfer.connections import Connections
from olpipe.default_plugins.sources.transfer.ranges import Body, Ranges, follow
from olpipe.default_plugins.sources.transfer.trouble import Trouble
from olpipe.errors import DigestMismatch
from olpipe.model import Layer

MOST_LISTING_BYTES = 32 << 20
"""Most bytes of the description of a repository."""

MOST_SMALL_BYTES = 16 << 20
"""Most bytes of a file that is read whole. The hub keeps larger ones apart, with their digests."""

_ETAG = re.compile(r'(?:W/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?')


class Hub:
    """The hub. Several threads may use it. Close it."""

    def __init__(self, options: HubOptions) -> None:
        """Connect to nothing yet.

        Args:
            options: How to ask.
        """
        self.options = options
        self._endpoint = httpx.URL(options.endpoint)
        self._connections = Connections(options.endpoint, options)
        self._ranges = Ranges(self._get, self._connections.is_own, self._check)
        self._places: dict[str, httpx.URL] = {}
        self._repository = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connections.close()

    @property
    def host(self) -> str:
        """The hub's host, with its port where it has one."""
        return self._endpoint.netloc.decode("ascii")

    @property
    def sends_token(self) -> bool:
        """Whether the hub gets a token: there is one, and nobody on the way can read it."""
        return bool(self.options.token) and (self._endpoint.scheme == "https" or _is_this_machine(self._endpoint.host))

    def repository(self, reference: HubReference) -> Repository:
        """Return what a repository has.

        Raises:
            NotThere: There is no such repository or revision.
            Trouble: It cannot be had.
            Transient: Another attempt may succeed.
        """
        self._repository = reference.id
        path = f"/api/models/{reference.id}"
        if reference.revision:
            path += f"/revision/{quote(reference.revision, safe='')}"
        data = self.answer(f"{path}?blobs=true", f"the revision `{reference.revision or 'main'}`")
        return Repository.read(data, reference.id)

    def answer(self, path: str, what: str) -> bytes:
        """Return what the hub answers to a request to its API.

        Args:
            path: The path with its query.
            what: What is asked for.

        Raises:
            NotThere: There is no such thing.
            Trouble: It cannot be had.
            Transient: Another attempt may succeed.
        """
        response, _ = self._get(httpx.URL(self.options.endpoint + path), {})
        try:
            self._check(response, what, 200)
            return read_answer(response, MOST_LISTING_BYTES, self.options.patience.answer_s)
        finally:
            response.close()

    def described(self, repository: Repository, file: RepositoryFile) -> RepositoryFile:
        """Return a file with its size and what its bytes must be. The hub is asked where the listing does not say.

        Raises:
            Trouble: The hub does not say it, either.
            Transient: Another attempt may succeed.
        """
        if file.size is not None and (file.sha256 or file.git_id):
            return file
        response = self._send("HEAD", self._url(repository, file), {})
        try:
            if not response.has_redirect_location:
                self._check(response, f"the file `{file.path}`", 200)
            headers = response.headers
        finally:
            response.close()
        etag = _ETAG.fullmatch(headers.get("x-linked-etag", headers.get("etag", "")))
        size = headers.get("x-linked-size", headers.get("content-length", ""))
        if etag is None or not (size.isascii() and size.isdecimal()):
            raise Trouble(f"`{self.host}` says neither the size nor the digest of `{file.path}`")
        if headers.get("x-repo-commit", repository.commit) != repository.commit:
            raise Trouble(f"`{self.host}` has `{file.path}` of another commit than {repository.commit}")
        is_large = len(etag[1]) == 64
        return replace(file, size=int(size), sha256=etag[1] if is_large else "", git_id="" if is_large else etag[1])

    def read(self, repository: Repository, file: RepositoryFile) -> bytes:
        """Return the bytes of a small file.

        Raises:
            DigestMismatch: They are not what the hub says they are.
            Trouble: It cannot be had.
            Transient: Another attempt may succeed.
        """
        response, _ = self._get(self._url(repository, file), {})
        try:
            self._check(response, f"the file `{file.path}`", 200)
            data = read_answer(response, MOST_SMALL_BYTES, self.options.patience.answer_s)
        finally:
            response.close()
        wanted = file.sha256 or file.git_id
        found = hashlib.sha256(data).hexdigest() if file.sha256 else _git_id(data)
        if found != wanted:
            message = f"`{file.path}` of `{repository.id}` has the digest {found}, and the hub says {wanted}"
            raise DigestMismatch(message, hint="it was changed on the way: pull again")
        return data

    def layer(self, repository: Repository, file: RepositoryFile) -> Layer:
        """Return a layer for a large file, and remember where the file is."""
        layer = Layer(f"sha256:{file.sha256}", file.size or 0)
        self._places[layer.digest] = self._url(repository, file)
        return layer

    def open_blob(self, layer: Layer, begins: int, ends: int) -> Body:
        """Ask for a range of a large file, with its end left out.

        Raises:
            Trouble: It cannot be had, or has another size than the hub says.
            Transient: Another attempt may succeed.
        """
        return self._ranges.open(self._places[layer.digest], layer, begins, ends)

    def _url(self, repository: Repository, file: RepositoryFile) -> httpx.URL:
        path = quote(file.path)
        return httpx.URL(f"{self.options.endpoint}/{repository.id}/resolve/{repository.commit}/{path}")

    def _get(self, url: httpx.URL, headers: Mapping[str, str]) -> tuple[httpx.Response, httpx.URL]:
        return follow(url, lambda one: self._send("GET", one, headers), self.host)

    def _send(self, method: str, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        """Send a request to one URL. No other host gets the token."""
        proof = {}
        if self.sends_token and self._connections.is_own(url):
            proof = {"Authorization": f"Bearer {self.options.token}"}
        return self._connections.send(method, url, {**headers, **proof})

    def _check(self, response: httpx.Response, what: str, status: int) -> None:
        check(response, what, status, Asker(self.options.endpoint, self._repository, self._proof()))

    def _proof(self) -> str:
        """Return what the hub was shown of the token."""
        if self.sends_token:
            return SENT
        return WITHHELD if self.options.token else ""


def _git_id(data: bytes) -> str:
    """Return what Git calls a file with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
