"""The steps of a pull, in Ollama's words.

Source: https://github.com/ollama/ollama/blob/main/server/images.go, PullModel
"""

from __future__ import annotations

from olpipe.interfaces import Progress, ProgressCallback

BEGUN = Progress("pulling manifest")
BUILDING = Progress("building model")
"""Ours. It is told where a backend begins to build the model."""

WRITING = Progress("writing manifest")
SUCCESS = Progress("success")

_CHECKING = Progress("verifying sha256 digest")


def in_ollamas_words(progress: ProgressCallback) -> ProgressCallback:
    """Return a callback for `olpipe.store.pull.pull` that tells another one what a client of Ollama expects."""

    def tell(step: Progress) -> None:
        # A source says this when all files are here. Then the model is built, and its manifest comes last
        progress(_CHECKING if step == WRITING else step)

    return tell
