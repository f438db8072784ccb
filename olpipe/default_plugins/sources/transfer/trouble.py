"""What goes wrong with hosts of models, until it becomes an error of olpipe at one place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.errors import NotAtSource, PullFailed, PushFailed, SourceUnreachable
from olpipe.interfaces import Progress, ProgressCallback

T = TypeVar("T")

_TOLD_EVERY_S = 0.1


class Trouble(Exception):
    """Something is wrong for good: another attempt would end in the same way.

    Attributes:
        message: What is wrong.
        hint: What to do.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotThere(Trouble):
    """What was asked for is not there."""


class Transient(Exception):
    """Something went wrong, and another attempt may succeed.

    Attributes:
        message: What went wrong.
        wait_s: How long the host asks to wait.
    """

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.wait_s = wait_s


class Unreachable(Transient):
    """Nobody answers at an address, or a host has none."""


@contextmanager
def becoming(failed: type[PullFailed] | type[PushFailed]) -> Iterator[None]:
    """Turn trouble into errors of olpipe.

    Args:
        failed: The class of the error where there is no better one.

    Raises:
        NotAtSource: The host has no such model.
        SourceUnreachable: Nobody answers there.
        PullFailed: Or PushFailed: anything else.
    """
    try:
        yield
    except NotThere as trouble:
        raise (NotAtSource if failed is PullFailed else failed)(trouble.message, hint=trouble.hint) from trouble
    except Trouble as trouble:
        raise failed(trouble.message, hint=trouble.hint) from trouble
    except Unreachable as trouble:
        raise SourceUnreachable(trouble.message, hint="check the name of the host and the network") from trouble
    except Transient as trouble:
        kept = "what has come so far is kept" if failed is PullFailed else "what the registry has is not sent again"
        raise failed(trouble.message, hint=f"run the command again: {kept}") from trouble


def trying(action: Callable[[], T], patience: Patience, progress: ProgressCallback, *, reached: bool = True) -> T:
    """Do something until it succeeds, or has failed too often.

    Args:
        action: What to do.
        patience: How often to try, and how long to wait between.
        progress: Told that this waits. An exception that it raises ends the waiting.
        reached: Whether the host was reached before. Where it was not, its first silence is the last word.

    Raises:
        Trouble: It will not succeed.
        Transient: It has failed too often.
    """
    failures = 0
    while True:
        try:
            return action()
        except Transient as trouble:
            failures += 1
            if failures >= patience.attempts or (isinstance(trouble, Unreachable) and not reached):
                raise
            wait(patience.wait_s(failures, trouble.wait_s), trouble.message, progress)


def wait(seconds: float, why: str, progress: ProgressCallback) -> None:
    """Wait, and tell why. An exception that `progress` raises ends the waiting."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        progress(Progress(f"trying again soon: {why}"))
        time.sleep(min(left, _TOLD_EVERY_S))
