"""Download a blob in parts over several connections, and hash it while it comes in.

A part whose connection breaks goes on where it broke. Where a host does not give ranges, one connection brings the
whole blob.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import httpx

from olpipe.default_plugins.sources.transfer.connections import broken, cut_off
from olpipe.default_plugins.sources.transfer.direct import READ_BYTES
from olpipe.default_plugins.sources.transfer.ranges import BlobHost, Body
from olpipe.default_plugins.sources.transfer.trouble import Transient, Trouble
from olpipe.errors import DigestMismatch
from olpipe.interfaces import ModelStore, PartialBlob, Progress, ProgressCallback
from olpipe.model import Layer

PART_BYTES = 32 << 20
"""Most bytes that one request asks for."""

LEAST_PART_BYTES = 4 << 20
"""A blob is not cut into smaller parts than that."""

WRITTEN_BYTES = 512 << 10
"""How much is gathered before it is written."""

MOST_NOT_HASHED_BYTES = 32 << 20
"""While more than this waits to be hashed, no further part is begun: the network is not what takes long."""

TOLD_EVERY_S = 0.1
ENDING_S = 1.0
"""How long a cancelled download waits for its connections to end. What they still bring is not taken."""


def download(
    host: BlobHost, layer: Layer, blob: PartialBlob, progress: ProgressCallback, *, until: int | None = None
) -> None:
    """Bring what is missing of a blob.

    Args:
        host: Where it comes from.
        layer: The blob.
        blob: What is here of it.
        progress: Told how much is here. An exception that it raises ends the download, and what came so far stays.
        until: Where to stop; None brings the whole blob.

    Raises:
        Trouble: The host does not deliver the blob.
        Transient: It has failed too often.
        DiskFull: There was no space.
    """
    gaps = [(begins, min(ends, until or layer.size)) for begins, ends in blob.missing()]
    gaps = [(begins, ends) for begins, ends in gaps if begins < ends]
    if gaps:
        _Download(host, layer, blob, gaps).run(progress)


def hash_rest(layer: Layer, blob: PartialBlob, progress: ProgressCallback) -> None:
    """Hash what came and is not hashed yet. An exception that `progress` raises ends this."""
    while blob.hash_more():
        progress(told(layer, layer.size))


def told(layer: Layer, completed: int) -> Progress:
    """Return how far the download of a layer is, in Ollama's words."""
    return Progress(f"pulling {layer.digest[7:19]}", completed, layer.size, digest=layer.digest)


def bring(
    host: BlobHost,
    layer: Layer,
    store: ModelStore,
    progress: ProgressCallback,
    *,
    first: Callable[[PartialBlob], None] | None = None,
) -> None:
    """Bring a blob into the store, unless it is there.

    Args:
        host: Where it comes from.
        layer: The blob.
        store: Where it goes.
        progress: Told how much is here.
        first: What is done with the blob before the rest of it is downloaded.

    Raises:
        Trouble: The host does not deliver the blob.
        Transient: It has failed too often.
        DigestMismatch: Its bytes have another digest. Nothing of them is kept.
    """
    while True:
        with store.receiving(layer.digest, layer.size, progress) as blob:
            if blob is None:
                progress(told(layer, layer.size))
                return
            is_new = _count(blob.missing()) == layer.size
            if first is not None:
                first(blob)
            download(host, layer, blob, progress)
            hash_rest(layer, blob, progress)
            try:
                blob.keep()
            except DigestMismatch:
                if is_new:
                    raise
                continue  # what had come before was damaged, perhaps by a power cut: begin anew
            progress(told(layer, layer.size))
            return


class _Download:
    """The download of one blob. Its threads take parts from a queue until there are none, or one of them fails."""

    def __init__(self, host: BlobHost, layer: Layer, blob: PartialBlob, gaps: list[tuple[int, int]]) -> None:
        self._host = host
        self._patience = host.options.patience
        self._layer = layer
        self._blob = blob
        self._until = gaps[-1][1]
        self._parts = deque(_cut(gaps, host.options.streams))
        self._changed = threading.Condition()
        self._came = layer.size - _count(blob.missing())
        self._at_work = 0
        self._not_hashed = 0
        self._has_ranges = False
        self._ended = False
        self._error: BaseException | None = None
        self._bodies: set[Body] = set()

    def run(self, progress: ProgressCallback) -> None:
        """Download everything, and hash and tell meanwhile."""
        told_at = 0.0
        progress(told(self._layer, self._came))
        self._start()
        try:
            while self._going_on():
                not_hashed = self._blob.hash_more()
                self._note_hashing(not_hashed)
                if time.monotonic() - told_at >= TOLD_EVERY_S:
                    told_at = time.monotonic()
                    progress(told(self._layer, self._came))
                    self._add_stream()
                if not not_hashed:
                    with self._changed:
                        self._changed.wait(TOLD_EVERY_S / 2)
        finally:
            self._stop()
        if self._error is not None:
            raise self._error
        progress(told(self._layer, self._came))

    def _note_hashing(self, not_hashed: int) -> None:
        """Let threads begin further parts, or not, by how much waits to be hashed."""
        with self._changed:
            self._not_hashed = not_hashed
            if not_hashed <= MOST_NOT_HASHED_BYTES:
                self._changed.notify_all()

    def _going_on(self) -> bool:
        with self._changed:
            return self._error is None and (self._at_work > 0)

    def _start(self) -> None:
        with self._changed:
            self._at_work += 1
        threading.Thread(target=self._work, name=f"pulling {self._layer.digest[7:19]}", daemon=True).start()

    def _stop(self) -> None:
        """End all threads. One that waits for a byte is woken by the end of its connection."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            bodies = list(self._bodies)
        for body in bodies:
            cut_off(body.response)
        ends = time.monotonic() + ENDING_S
        with self._changed:
            while self._at_work and (left := ends - time.monotonic()) > 0:
                self._changed.wait(left)

    # --- in the threads -------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while (part := self._next()) is not None:
                self._fetch(*part)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            with self._changed:
                if not self._ended and self._error is None:
                    self._error = error
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def _next(self) -> tuple[int, int] | None:
        """Return the next part, once hashing is not far behind; None when there is nothing more to do."""
        with self._changed:
            while self._parts and not self._ended and self._error is None:
                if self._not_hashed <= MOST_NOT_HASHED_BYTES:
                    return self._parts.popleft()
                self._changed.wait()
            return None

    def _fetch(self, begins: int, ends: int) -> None:
        """Fetch a part, in several attempts where that is needed."""
        failures = 0
        while begins < ends and not self._ended:
            at = begins
            try:
                with self._opened(begins, ends) as body:
                    if body.whole:
                        self._take_whole(body)
                        return
                    self._ranges_work()
                    for data in self._pieces(body, ends - begins):
                        self._blob.write(begins, data)
                        begins += len(data)
                        self._note(len(data))
                if begins < ends:
                    raise Transient(f"`{self._host.host}` ended a part of {self._layer.digest} too early")
            except Transient as trouble:
                failures = 1 if begins - at >= self._patience.least_bytes else failures + 1
                self._wait(failures, trouble)

    def _take_whole(self, body: Body) -> None:
        """Take a blob whose host gives no ranges: this thread alone brings everything, from the beginning on."""
        with self._changed:
            if self._has_ranges:
                raise Transient(f"`{self._host.host}` gave ranges before, and now gives none")
            self._parts.clear()
        farthest, failures, opened = 0, 0, body
        while not self._ended:
            at = 0
            try:
                with opened:
                    for data in self._pieces(opened, self._layer.size):
                        before = _count(self._blob.missing())
                        self._blob.write(at, data)
                        at += len(data)
                        self._note(before - _count(self._blob.missing()))
                        if at >= self._until:
                            return
                raise Transient(f"`{self._host.host}` ended {self._layer.digest} too early")
            except Transient as trouble:
                failures = 1 if at - farthest >= self._patience.least_bytes else failures + 1
                farthest = max(farthest, at)
                self._wait(failures, trouble)
            opened = self._opened(0, self._layer.size)
            if not opened.whole:
                opened.response.close()
                raise Trouble(f"`{self._host.host}` gave no ranges before, and now gives some")

    def _opened(self, begins: int, ends: int) -> Body:
        body = self._host.open_blob(self._layer, begins, ends)
        with self._changed:
            self._bodies.add(body)
            if self._ended:
                cut_off(body.response)
        return body

    def _ranges_work(self) -> None:
        """Let further threads begin, once it is known that the host gives ranges: the second one at once."""
        with self._changed:
            if self._has_ranges:
                return
            self._has_ranges = True
        self._add_stream()

    def _add_stream(self) -> None:
        """Let another thread begin, where that can help: it cannot where bytes come faster than they are hashed."""
        with self._changed:
            is_limit = self._at_work >= self._host.options.streams
            if is_limit or not (self._has_ranges and self._parts) or self._not_hashed > MOST_NOT_HASHED_BYTES // 2:
                return
        self._start()

    def _pieces(self, body: Body, most: int) -> Iterator[memoryview]:
        """Yield the bytes of a body in pieces, which are valid until the next one is asked for.

        What came before the connection broke is yielded, too.
        """
        buffer = memoryview(bytearray(WRITTEN_BYTES + READ_BYTES))
        gathered = size = 0
        pace = _Pace(self._patience.stall_s, self._patience.least_bytes)
        failure: Transient | None = None
        host = self._host.host
        try:
            for data in body.response.iter_raw():
                size += len(data)
                if size > most:
                    raise Trouble(f"`{host}` sends more of {self._layer.digest} than it was asked for")
                if len(data) >= WRITTEN_BYTES and not gathered:
                    yield memoryview(data)
                else:
                    buffer[gathered : gathered + len(data)] = data
                    gathered += len(data)
                    if gathered >= WRITTEN_BYTES:
                        yield buffer[:gathered]
                        gathered = 0
                if pace.is_too_slow(len(data)):
                    failure = Transient(f"`{host}` sends next to nothing")
                    break
        except (httpx.TransportError, httpx.StreamError) as error:
            failure = broken(host, error)
        finally:
            with self._changed:
                self._bodies.discard(body)
        if gathered:
            yield buffer[:gathered]
        if failure is not None:
            raise failure

    def _note(self, count: int) -> None:
        with self._changed:
            self._came += count
            self._changed.notify()

    def _wait(self, failures: int, trouble: Transient) -> None:
        """Wait before the next attempt.

        Raises:
            Transient: There were too many.
        """
        if failures >= self._patience.attempts:
            raise trouble
        ends = time.monotonic() + self._patience.wait_s(failures, trouble.wait_s)
        with self._changed:
            while not self._ended and self._error is None and (left := ends - time.monotonic()) > 0:
                self._changed.wait(left)


class _Pace:
    """Tells a body that trickles from one that flows."""

    def __init__(self, within_s: float, least: int) -> None:
        self._within_s = within_s
        self._least = least
        self._since = time.monotonic()
        self._count = 0

    def is_too_slow(self, count: int) -> bool:
        """Count bytes that came; say whether too few came for too long."""
        self._count += count
        now = time.monotonic()
        if now - self._since < self._within_s:
            return False
        slow = self._count < self._least
        self._since, self._count = now, 0
        return slow


def _cut(gaps: list[tuple[int, int]], streams: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of gaps, in order.

    They become smaller towards the end. So all streams end at about the same time. Little is left to be hashed then,
    though what lies behind a part that is not whole yet cannot be hashed.
    """
    missing = _count(gaps)
    for begins, ends in gaps:
        while begins < ends:
            size = min(PART_BYTES, max(LEAST_PART_BYTES, missing // (4 * streams)), ends - begins)
            yield begins, begins + size
            begins += size
            missing -= size


def _count(ranges: Sequence[tuple[int, int]]) -> int:
    return sum(ends - begins for begins, ends in ranges)
