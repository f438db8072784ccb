"""Every error that olpipe raises on purpose.

    OlpipeError                      exit 1, HTTP 500
    ├── UsageError                   exit 2, HTTP 400   the request itself is wrong
    │   ├── InvalidName                                 not a model name
    │   ├── RecipeError                                 a recipe file that cannot be used
    │   ├── SchemaError                                 a JSON Schema that no answer can be held to
    │   └── UnknownName                                 no such task, sink, perceiver, …
    ├── ModelError                   exit 1, HTTP 400
    │   ├── ModelNotFound            exit 1, HTTP 404   not on this machine, and no source has it
    │   ├── ModelUnsupported                            no backend can load it
    │   └── ModelCorrupt                                a malformed weights file
    ├── StoreError                   exit 1, HTTP 500
    │   ├── DigestMismatch                              bytes are not what their digest says
    │   └── PullFailed                                  a source could not deliver
    ├── ImageError                   exit 1, HTTP 400   one image; a batch goes on
    │   ├── ImageUnreadable
    │   ├── ImageTooLarge
    │   └── ImageUnsupported
    ├── GenerationError              exit 1, HTTP 500   one request; the engine goes on
    │   ├── ContextExceeded          exit 1, HTTP 400   the prompt does not fit the model
    │   └── InvalidOutput                               the document is not what the schema asks for
    ├── PluginError                  exit 1, HTTP 500
    └── MachineError                 exit 4, HTTP 503   the machine, not the request: a batch stops
        ├── BackendMissing                              a runtime is not installed
        ├── BackendCrashed                              the runner's process died
        ├── Busy                                        too many requests wait already
        ├── OutputUnavailable                           the output folder cannot be written
        ├── OutputBusy                                  another run writes to the same output
        └── DiskFull

A message says what happened and with which value; a hint says what to do next. A `ValueError` or a
`TypeError` is a bug in the code that calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class OlpipeError(Exception):
    """An error with a message for the user."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(OlpipeError):
    """The request itself is wrong."""

    exit_code = 2
    http_status = 400


class InvalidName(UsageError):
    """A text that is not a model name."""


class RecipeError(UsageError):
    """A recipe file that cannot be used."""


class SchemaError(UsageError):
    """A JSON Schema that no answer can be held to, or that is not understood."""


class UnknownName(UsageError):
    """A name that is not registered as a task, sink, perceiver, source or the like."""


class ModelError(OlpipeError):
    """A model that cannot be used."""

    http_status = 400


class ModelNotFound(ModelError):
    """A model that is not on this machine and that no source announces."""

    http_status = 404


class ModelUnsupported(ModelError):
    """A model that no backend can load."""


class ModelCorrupt(ModelError):
    """A weights file that is malformed or damaged."""


class StoreError(OlpipeError):
    """The model store cannot do what was asked."""


class DigestMismatch(StoreError):
    """Bytes that are not what their digest says."""


class PullFailed(StoreError):
    """A source that could not deliver a model."""


class ImageError(OlpipeError):
    """One image that cannot be used; a batch writes a failure row and goes on."""

    http_status = 400


class ImageUnreadable(ImageError):
    """A file that is damaged, empty, or cannot be opened."""


class ImageTooLarge(ImageError):
    """More pixels than allowed."""


class ImageUnsupported(ImageError):
    """A format that no image loader reads."""


class GenerationError(OlpipeError):
    """One request that failed; the engine goes on."""


class ContextExceeded(GenerationError):
    """A prompt that does not fit the model's context."""

    http_status = 400


class InvalidOutput(GenerationError):
    """A generated document that does not fit its schema."""


class PluginError(OlpipeError):
    """A plugin that breaks its contract."""


class MachineError(OlpipeError):
    """The machine failed, not the request: a batch stops and marks nothing as failed."""

    exit_code = 4
    http_status = 503


class BackendMissing(MachineError):
    """A runtime that is not installed."""


class BackendCrashed(MachineError):
    """The process that runs a model ended unexpectedly."""


class Busy(MachineError):
    """A queue that is full: the same request may be answered a moment later."""


class OutputUnavailable(MachineError):
    """An output folder that cannot be created or written."""


class OutputBusy(MachineError):
    """Another run is writing to the same output folder."""


class DiskFull(MachineError):
    """No space left on the device that holds the output or the store."""


def first_line(error: BaseException) -> str:
    """Return an exception's text for one line of output, or the name of its class where it has no text."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Return the names that are most like `name`, nearest first, so that a hint can offer them."""
    import difflib  # imported here, because only a misspelt name needs it

    candidates = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), candidates, n=limit, cutoff=0.5)
    return [candidates[match] for match in close]
