"""Build models in processes of their own.

A conversion computes for minutes in this process's interpreter, which answers no client meanwhile for a tenth of a
second and longer. It also takes much memory, which the system gets back only when the process ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import BinaryIO, cast

from olpipe.engine import codec, frames
from olpipe.engine.limits import Limits, stalled
from olpipe.engine.protocol import Build, Built, GoOn, Packet, Reached, Refused
from olpipe.errors import BackendCrashed
from olpipe.interfaces import Backend, Family, Progress, ProgressCallback, Runner
from olpipe.model import LoadOptions, ModelBundle
from olpipe.plugins import Plugins
from olpipe.registry import Registry
from olpipe.settings import Settings

POLL_S = 0.5
"""How often the callback is told again how far a build is, so that it can cancel a long step."""

CLOSING_S = 5.0
"""How long a process may take to remove what is half made after it was cancelled."""

COMMAND = (sys.executable, "-P", "-m", "olpipe.engine.builder")


def build_apart(plugins: Plugins, settings: Settings) -> None:
    """Let all backends build in processes of their own."""
    backends = plugins.backends
    backends.rebuild([(BuildsApart(one, settings), backends.plugin_of(one.name)) for one in backends])


class BuildsApart(Backend):
    """A backend that builds in a process of its own. All else is the same."""

    def __init__(self, backend: Backend, settings: Settings) -> None:
        """Stand for a backend.

        Args:
            backend: The backend.
            settings: Those under which the process loads its plugins.
        """
        self._backend = backend
        self._settings = settings
        self._patience_s = Limits.of(settings).load_s
        self.name, self.version = backend.name, backend.version

    @property
    def families(self) -> Registry[Family] | None:
        """The families of vision models that plugins bring."""
        return self._backend.families

    @families.setter
    def families(self, families: Registry[Family] | None) -> None:
        self._backend.families = families

    def refuses(self, bundle: ModelBundle) -> str | None:
        """Return what the backend says."""
        return self._backend.refuses(bundle)

    def family_of(self, bundle: ModelBundle) -> Family | None:
        """Return what the backend says."""
        return self._backend.family_of(bundle)

    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Have the backend load a model."""
        return self._backend.load(bundle, options)

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Have the backend build a model. Where it is built already, no process is started.

        Raises:
            LoadStalled: The build made no progress for too long.
            BackendCrashed: The process ended in the middle.
        """
        try:
            self._backend.build(bundle, _begin)
        except _Begins:
            self._build(bundle, progress)

    def _build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        step, reached_s = Progress("building"), time.monotonic()
        with _started(Build(self.name, bundle, self._settings)) as process:
            while True:
                packet = process.next(POLL_S)
                if isinstance(packet, Built):
                    return
                if isinstance(packet, Refused):
                    raise packet.error.to_error()
                if isinstance(packet, Reached):
                    step, reached_s = packet.progress, time.monotonic()
                elif time.monotonic() - reached_s > self._patience_s:
                    raise stalled(bundle, self._patience_s)
                progress(step)
                if packet is not None:
                    process.send(GoOn())


class _Begins(BaseException):
    """The backend begins to build: so the model is not built yet. No `except Exception` catches it."""


def _begin(progress: Progress) -> None:
    raise _Begins


class _Process:
    """A process that builds, as the parent sees it."""

    def __init__(self, command: Build) -> None:
        self._name = command.bundle.name
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe)
        self._packets: SimpleQueue[Packet | BackendCrashed] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"build {self._name}", daemon=True)
        self._reader.start()
        self.send(command)

    def send(self, packet: Build | GoOn) -> None:
        """Send a packet. That the process is gone shows when it is read."""
        with suppress(OSError):
            frames.write(cast(BinaryIO, self._process.stdin), codec.encode(packet))

    def next(self, timeout_s: float) -> Packet | None:
        """Wait for the next packet; None when the time is up.

        Raises:
            BackendCrashed: The process ended.
        """
        try:
            packet = self._packets.get(timeout=timeout_s)
        except Empty:
            return None
        if isinstance(packet, BackendCrashed):
            raise packet
        return packet

    def close(self) -> None:
        """End the process: it may remove what is half made, and is killed if that takes too long."""
        with suppress(OSError):
            cast(BinaryIO, self._process.stdin).close()
        try:
            self._process.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(CLOSING_S)

    def _read(self) -> None:
        how = ""
        try:
            with cast(BinaryIO, self._process.stdout) as pipe:
                while (frame := frames.read(pipe)) is not None:
                    self._packets.put(codec.decode(frame))
        except ValueError as error:  # not a frame, or not a packet
            how = f"broke off: {error}"
            self._process.kill()
        code = self._process.wait()
        how = how or (f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}")
        hint = "the machine may have run out of memory; run again with OLPIPE_DEBUG=1 to see everything it says"
        self._packets.put(BackendCrashed(f"the process that builds `{self._name}` {how}", hint=hint))


@contextmanager
def _started(command: Build) -> Iterator[_Process]:
    process = _Process(command)
    try:
        yield process
    finally:
        process.close()
