"""Errors as the failures of photos: what kind a failure is, and which errors are none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from olpipe.errors import (
    ContextExceeded,
    GenerationError,
    ImageError,
    ImageTooLarge,
    ImageUnsupported,
    InvalidOutput,
    OlpipeError,
    PluginError,
    first_line,
)
from olpipe.image import ImageFile
from olpipe.record import Failure, FailureKind

logger = logging.getLogger(__name__)

# Special classes stand before general ones: the first that fits gives the kind of the failure
KINDS: tuple[tuple[type[OlpipeError], FailureKind], ...] = (
    (ImageTooLarge, FailureKind.TOO_LARGE),
    (ImageUnsupported, FailureKind.UNSUPPORTED),
    (ImageError, FailureKind.UNREADABLE),
    (ContextExceeded, FailureKind.CONTEXT),
    (InvalidOutput, FailureKind.REFUSED),
    (GenerationError, FailureKind.GENERATION),
    (PluginError, FailureKind.PLUGIN),
)


def kind_of(error: ImageError | GenerationError | PluginError) -> FailureKind:
    """Return the kind of the failure that an error is."""
    return next(kind for expected, kind in KINDS if isinstance(error, expected))


@contextmanager
def at_stage(stage: str) -> Iterator[None]:
    """Name a recipe's stage in the errors that a question about a photo may have; none where the name is empty."""
    try:
        yield
    except (GenerationError, PluginError) as error:
        if not stage:
            raise
        raise type(error)(f"stage `{stage}`: {error.message}", hint=error.hint) from error


def failure_of(image: ImageFile, error: Exception) -> Failure | None:
    """Return the failure that an error is; None where neither the photo nor a plugin is at fault.

    Args:
        image: The photo that was described when the error was raised.
        error: The error.
    """
    if isinstance(error, (ImageError, GenerationError, PluginError)):
        logger.debug("`%s` failed", image.ref.name, exc_info=error)
        return Failure(image.ref.name, image.sha256, kind_of(error), error.message, error.hint)
    if isinstance(error, OlpipeError):
        return None
    if isinstance(error, OSError):  # the file could be read before, but cannot be read any more
        message = f"the file cannot be read: {error.strerror or error}"
        return Failure(image.ref.name, None, FailureKind.UNREADABLE, message)
    logger.debug("`%s` failed", image.ref.name, exc_info=error)
    message = f"{type(error).__name__}: {first_line(error)}"
    hint = "run again with OLPIPE_DEBUG=1 to see where"
    return Failure(image.ref.name, image.sha256, FailureKind.GENERATION, message, hint)
