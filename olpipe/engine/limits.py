"""What a loaded model may take of the machine and of our patience."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from olpipe.errors import LoadStalled
from olpipe.model import ModelBundle
from olpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may take.

    Attributes:
        memory_bytes: At this size its process is replaced; 0 allows twice its size once loaded, plus `GROWTH_BYTES`.
        max_queue: Requests that may wait for it; 0 for any number.
        load_s: How long loading it may go on without progress.
        stay_s: How long it stays when nobody asks it anything, and no request said otherwise.
    """

    memory_bytes: int = 0
    max_queue: int = 0
    load_s: float = math.inf
    stay_s: float = math.inf

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what settings allow."""
        load_s = settings.load_timeout_s if settings.load_timeout_s > 0 else math.inf
        stay_s = settings.keep_alive_s if settings.keep_alive_s >= 0 else math.inf
        return cls(settings.memory_limit << 20, settings.max_queue, load_s, stay_s)


def stalled(bundle: ModelBundle, after_s: float) -> LoadStalled:
    """Return the error for a model whose loading made no progress for some time."""
    message = f"loading `{bundle.name}` made no progress for {after_s:g} s, so it was ended"
    return LoadStalled(message, hint="raise OLLAMA_LOAD_TIMEOUT, or give the machine less to do at the same time")
