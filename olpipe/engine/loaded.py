"""What is known of a model in memory."""

from __future__ import annotations

from dataclasses import dataclass

from olpipe import machine
from olpipe.engine.resident import Resident
from olpipe.interfaces import Progress
from olpipe.model import LoadOptions, ModelName, RunnerInfo


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, or on its way there.

    Attributes:
        name: Its name.
        digest: `sha256:…` of its manifest.
        options: How it was asked to be loaded.
        info: What it can do; None while it is loaded for the first time.
        pid: Its process's id; None while there is no process.
        size_bytes: Memory that its process takes.
        is_loading: Whether its process is being started.
        active: How many requests are not answered.
        waiting: How many of these have not begun.
        expires_in_s: How long it stays if nobody asks anything; infinity while it is at work, or if it stays for ever.
        keep_alive_s: How long it stays once it has answered everything.
        progress: How far building and loading it is; None while it is loaded, or waits for a place.
        context_length: Most tokens of prompt plus answer that the last request asked for. Where it asked for none, or
            for more than there are, those that the model was loaded with; 0 while that is not known.
    """

    name: ModelName
    digest: str
    options: LoadOptions
    info: RunnerInfo | None
    pid: int | None
    size_bytes: int
    is_loading: bool
    active: int
    waiting: int
    expires_in_s: float
    keep_alive_s: float
    progress: Progress | None = None
    context_length: int = 0


def describe(resident: Resident) -> LoadedModel:
    """Return what is known of a model."""
    pid, info = resident.pid, resident.info
    held = resident.load.options.context_length if info is None else info.context_length
    asked = resident.asked_context
    return LoadedModel(
        name=resident.load.bundle.name,
        digest=resident.load.bundle.digest,
        options=resident.load.options,
        info=info,
        pid=pid,
        size_bytes=(machine.resident_bytes(pid) or 0) if pid is not None else 0,
        is_loading=resident.is_loading,
        active=resident.active,
        waiting=resident.waiting,
        expires_in_s=resident.expires_in_s(),
        keep_alive_s=resident.keep_alive_s,
        progress=resident.progress,
        context_length=min(asked, held) if asked and held else asked or held,
    )
