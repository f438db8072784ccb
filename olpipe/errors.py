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
    │   ├── PullFailed                                  a source could not deliver
    │   │   └── NotAtSource                             a source has no such model
    │   ├── PushFailed                                  a source did not take a model
    │   └── SourceUnreachable    exit 1, HTTP 502       nobody answers at the address of a source
    ├── ImageError                   exit 1, HTTP 400   one image; a batch goes on
    │   ├── ImageUnreadable
    │   ├── ImageTooLarge
    │   └── ImageUnsupported
    ├── GenerationError              exit 1, HTTP 500   one request; the engine goes on
    │   ├── ContextExceeded          exit 1, HTTP 400   the prompt or the answer does not fit the model
    │   ├── GrammarExceeded          exit 1, HTTP 400   a grammar that takes too much work, or leads nowhere
    │   └── InvalidOutput                               the document is not what the schema asks for
    ├── PluginError                  exit 1, HTTP 500
    ├── ServerUnreachable            exit 1, HTTP 502   a command's server does not answer, or went away
    └── MachineError                 exit 4, HTTP 503   the machine, not the request: a batch stops
        ├── BackendMissing                              a runtime is not installed
        ├── BackendCrashed                              the runner's process died
        ├── LoadStalled                                 loading a model makes no progress
        ├── Busy                                        too many requests wait already
        ├── OutputUnavailable                           the output folder cannot be written
        ├── OutputBusy                                  another run writes to the same output
        └── DiskFull

A message says what happened and with which value; a hint says what to do next. A `ValueError` or a
`TypeError` is a bug in the code that calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

_ERRNO = re.compile(r"\[(Errno|WinError) -?\d+\] ")


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


class NotAtSource(PullFailed):
    """A model that a source does not have."""


class PushFailed(StoreError):
    """A source that did not take a model."""


class SourceUnreachable(StoreError):
    """A source at whose address nobody answers."""

    http_status = 502


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
    """A prompt, or a document that has to be complete, that does not fit the model's context."""

    http_status = 400


class GrammarExceeded(GenerationError):
    """A grammar that cannot be followed any further: it takes too much work, or it leads nowhere."""

    http_status = 400


class InvalidOutput(GenerationError):
    """A generated document that does not fit its schema."""


class PluginError(OlpipeError):
    """A plugin that breaks its contract."""


class ServerUnreachable(OlpipeError):
    """A server that a command uses, and that does not answer, or went away in the middle."""

    http_status = 502


class MachineError(OlpipeError):
    """The machine failed, not the request: a batch stops and marks nothing as failed."""

    exit_code = 4
    http_status = 503


class BackendMissing(MachineError):
    """A runtime that is not installed."""


class BackendCrashed(MachineError):
    """The process that runs a model ended unexpectedly."""


class LoadStalled(MachineError):
    """A model whose loading made no progress for as long as the settings allow."""


class Busy(MachineError):
    """A queue that is full: the same request may be answered a moment later."""


class OutputUnavailable(MachineError):
    """An output folder that cannot be created or written."""


class OutputBusy(MachineError):
    """Another run is writing to the same output folder, or it is being reviewed."""


class DiskFull(MachineError):
    """No space left on the device that holds the output or the store."""


def cannot_see(model: str) -> UsageError:
    """Return the error for a request with images to a model that does not see. Whoever asks first raises it."""
    hint = "give it what a detector sees: `--perceivers photo-mini`; or pull it with its vision encoder: `--projector`"
    return UsageError(f"model `{model}` cannot see images", hint=hint)


def first_line(error: BaseException) -> str:
    """Return an exception's text for one line of output, or the name of its class where it has no text.

    The number that Python puts before the system's words, as in `[Errno 2]`, is left out.
    """
    return _ERRNO.sub("", (str(error).splitlines() or [""])[0]) or type(error).__name__


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Return the names that `name` may be a misspelling of, nearest first, so that a hint can offer them.

    One or two wrong letters make a misspelling, or a few more in a long name. So does a part of a name, and a
    name with something before or behind it. Capitals do not count.
    """
    wanted = name.lower()
    found = []
    for candidate in known:
        other = candidate.lower()
        most = _most_typos(wanted, other)
        typos = _typos(wanted, other, most)
        if typos <= most or _is_part(wanted, other) or _is_part(other, wanted):
            found.append((typos, candidate))
    return [candidate for _, candidate in sorted(found, key=lambda pair: pair[0])[:limit]]


def _most_typos(one: str, other: str) -> int:
    """Return how many typos may be between two names that mean the same."""
    length = max(len(one), len(other))
    if length <= 2:
        return int(sorted(one) == sorted(other))
    return 1 if length <= 4 else 2 if length <= 11 else 3


def _is_part(name: str, longer: str) -> bool:
    """Say whether a longer name begins or ends with a name that is a word of it or at least half of it."""
    if len(name) < 3:
        return False
    begins, ends = longer.startswith(name), longer.endswith(name)
    if len(longer) <= 2 * len(name):
        return begins or ends
    return (begins and not longer[len(name)].isalnum()) or (ends and not longer[-len(name) - 1].isalnum())


def _typos(one: str, other: str, most: int) -> int:
    """Return how many letters are missing, too many, wrong or swapped; more than `most` is told as `most + 1`."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    # Each row holds, for one beginning of `one`, the typos between it and every beginning of `other`
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one):
        before, last, row = row, before, [at + 1]
        for column, opposite in enumerate(other):
            typos = min(before[column] + (letter != opposite), before[column + 1] + 1, row[column] + 1)
            if at and column and letter == other[column - 1] and opposite == one[at - 1]:
                typos = min(typos, last[column - 1] + 1)
            row.append(typos)
        if min(row) > most and min(before) > most:
            return most + 1
    return min(row[-1], most + 1)
