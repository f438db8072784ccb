"""Upload what a registry lacks of a model.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx

from olpipe.default_plugins.sources.registry.client import DOCKER_MANIFEST, OCI_MANIFEST, Registry
from olpipe.default_plugins.sources.transfer.connections import next_url
from olpipe.default_plugins.sources.transfer.trouble import Transient, Trouble, trying, wait
from olpipe.errors import InvalidName
from olpipe.interfaces import Outgoing, Progress, ProgressCallback
from olpipe.model import Layer, ModelName
from olpipe.store import digests

CHUNK_BYTES = 64 << 20
"""Most bytes that one request brings."""

_READ_BYTES = 256 << 10
_RECEIVED = re.compile(r"(?:bytes=)?0-(\d{1,19})")
_BYTES = {"Content-Type": "application/octet-stream"}


def upload(registry: Registry, model: Outgoing, progress: ProgressCallback) -> None:
    """Send a model: the blobs that the registry lacks, then the manifest, byte for byte.

    Raises:
        Trouble: The registry does not take it.
        Transient: It has failed too often.
    """
    patience = registry.options.patience
    progress(Progress("retrieving manifest"))
    reached = False
    for layer in {layer.digest: layer for layer in (*model.layers, model.config)}.values():
        there = trying(partial(_has, registry, layer), patience, progress, reached=reached)
        reached = True
        if there:
            progress(_told(layer, layer.size))
        else:
            _Upload(registry, layer, model.path_of(layer.digest), progress).run()
    progress(Progress("pushing manifest"))
    trying(partial(_put_manifest, registry, model), patience, progress)


def _told(layer: Layer, completed: int) -> Progress:
    return Progress(f"pushing {layer.digest[7:19]}", completed, layer.size, digest=layer.digest)


def _has(registry: Registry, layer: Layer) -> bool:
    response, _ = registry.ask("HEAD", httpx.URL(registry.address.of(f"blobs/{layer.digest}")))
    with closing(response):
        if response.status_code == 404:
            return False
        registry.check(response, f"the blob {layer.digest}")
    return True


class _Upload:
    """The upload of one blob in chunks. After a connection broke, the registry is asked how much it has."""

    def __init__(self, registry: Registry, layer: Layer, path: Path, progress: ProgressCallback) -> None:
        self._registry = registry
        self._layer = layer
        self._path = path
        self._progress = progress
        self._url: httpx.URL | None = None  # where the next chunk goes; None where no upload has begun
        self._at = 0
        self._is_sure = True  # that the registry has as much as was sent
        self._is_mounted = False

    def run(self) -> None:
        """Send the blob."""
        self._progress(_told(self._layer, 0))
        patience = self._registry.options.patience
        failures, farthest = 0, -1
        while not self._is_mounted:
            try:
                if self._is_done():
                    break
            except Transient as trouble:
                failures = 1 if self._at > farthest else failures + 1
                farthest = max(farthest, self._at)
                if failures >= patience.attempts:
                    raise
                wait(patience.wait_s(failures, trouble.wait_s), trouble.message, self._progress)
        self._progress(_told(self._layer, self._layer.size))

    def _is_done(self) -> bool:
        """Go one step further; say whether that was the last one."""
        if self._url is None:
            self._begin()
        elif not self._is_sure:
            self._ask_how_much(self._url)
        elif self._at < self._layer.size:
            self._send(self._url)
        else:
            self._finish(self._url)
            return True
        return False

    def _begin(self) -> None:
        """Begin an upload, or have the registry take the blob from the model that this one was made from."""
        url = httpx.URL(self._registry.address.of("blobs/uploads/"))
        if origin := _origin(self._layer, self._registry):
            url = url.copy_merge_params({"mount": self._layer.digest, "from": origin})
        response, _ = self._registry.ask("POST", url, {"Content-Length": "0"})
        with closing(response):
            if response.status_code == 201:
                self._is_mounted = True
                return
            self._registry.check(response, "an upload", status=202)
            self._at, self._is_sure = 0, True
            self._url = _location(url, response)

    def _ask_how_much(self, url: httpx.URL) -> None:
        response, _ = self._registry.ask("GET", url)
        with closing(response):
            if response.status_code == 404:
                self._url = None  # the registry has forgotten the upload: begin again
                return
            self._registry.check(response, "how much it has of an upload", status=204)
            self._at = self._received(response, otherwise=0)
            self._is_sure = True
            self._url = _location(url, response)

    def _send(self, url: httpx.URL) -> None:
        """Send a chunk."""
        begins, ends = self._at, min(self._at + CHUNK_BYTES, self._layer.size)
        headers = {**_BYTES, "Content-Length": str(ends - begins), "Content-Range": f"{begins}-{ends - 1}"}
        self._is_sure = False
        response, _ = self._registry.ask("PATCH", url, headers, partial(self._read, begins, ends))
        with closing(response):
            if response.status_code == 416:  # it has another number of bytes than it said
                self._url = None
                raise Transient(f"`{self._registry.address.host}` takes no more of an upload, which begins again")
            self._registry.check(response, "an upload", status=202)
            self._at = self._received(response, otherwise=ends)
            self._is_sure = True
            self._url = _location(url, response)

    def _finish(self, url: httpx.URL) -> None:
        text = str(url)
        whole = httpx.URL(f"{text}{'&' if '?' in text else '?'}digest={self._layer.digest}")
        response, _ = self._registry.ask("PUT", whole, {**_BYTES, "Content-Length": "0"})
        with closing(response):
            self._registry.check(response, "the end of an upload", status=201)

    def _received(self, response: httpx.Response, *, otherwise: int) -> int:
        """Return how many bytes the registry says it has.

        Raises:
            Trouble: More than there are.
        """
        text = response.headers.get("range", "")
        found = _RECEIVED.fullmatch(text)
        count = otherwise if found is None else int(found[1]) + 1 if text not in ("0-0", "bytes=0-0") else otherwise
        if count > self._layer.size:
            raise Trouble(f"`{self._registry.address.host}` says that it has more of an upload than was sent")
        return count

    def _read(self, begins: int, ends: int) -> Iterator[bytes]:
        """Yield bytes of the file, and tell how many there were."""
        with self._path.open("rb") as file:
            file.seek(begins)
            while begins < ends and (data := file.read(min(_READ_BYTES, ends - begins))):
                yield data
                begins += len(data)
                self._progress(_told(self._layer, begins))


def _origin(layer: Layer, registry: Registry) -> str:
    """Return the repository of the model that a layer was taken from; empty where that is not in the registry."""
    try:
        origin = ModelName.parse(layer.origin)
    except InvalidName:
        return ""
    repository = f"{origin.namespace}/{origin.model}"
    same = origin.host.lower() == registry.address.name.host and repository != registry.address.repository
    return repository if same else ""


def _location(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    """Return where an upload goes on."""
    location = response.headers.get("docker-upload-location") or response.headers.get("location") or ""
    return next_url(url, location) if location else url


def _put_manifest(registry: Registry, model: Outgoing) -> None:
    url = httpx.URL(registry.address.of(f"manifests/{registry.address.name.tag}"))
    response, _ = registry.ask("PUT", url, {"Content-Type": _kind_of(model.manifest)}, lambda: model.manifest)
    with closing(response):
        registry.check(response, "the manifest", status=201)
        told = response.headers.get("docker-content-digest", "")
        if told and told != digests.of_bytes(model.manifest):
            raise Trouble(f"`{registry.address.host}` keeps another manifest than was sent, with the digest {told:.80}")


def _kind_of(manifest: bytes) -> str:
    """Return the media type of a manifest. A manifest of OCI need not say it."""
    value = json.loads(manifest)
    kind = value.get("mediaType") or (DOCKER_MANIFEST if "docker" in str(value.get("config")) else OCI_MANIFEST)
    return str(kind)
