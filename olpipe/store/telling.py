"""Keep apart what a plugin raises and what the progress callback raises while the plugin runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from olpipe.errors import PluginError
from olpipe.interfaces import Progress, ProgressCallback


@contextmanager
def letting_out(progress: ProgressCallback) -> Iterator[ProgressCallback]:
    """Yield a callback for a plugin, and let out unchanged what the given callback raised.

    Otherwise a plugin would be blamed where somebody cancels what it does.
    """
    raised: list[Exception] = []

    def tell(step: Progress) -> None:
        try:
            progress(step)
        except Exception as error:
            raised.append(error)
            raise

    try:
        yield tell
    except PluginError as error:
        if raised and error.__cause__ is raised[-1]:
            raise raised[-1] from None
        raise
