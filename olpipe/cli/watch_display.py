"""Show on stderr how a watch goes: one line on a terminal, a line for each group of photos anywhere else."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from olpipe.cli.batch_display import STOPPING, passed_by, plural
from olpipe.cli.live_line import LiveLine, can_move, say

if TYPE_CHECKING:
    from pathlib import Path

    from olpipe.imaging.discover import Discovery
    from olpipe.pipeline.run import BatchResult
    from olpipe.pipeline.watch import Watched

LINE_EVERY_S = 30.0
"""Where no line can be written again, one says so often how far a large group is."""


class WatchDisplay:
    """Follows a watch."""

    def __init__(self, output: Path) -> None:
        """Show nothing yet.

        Args:
            output: The output folder.
        """
        self._output = output
        self._line: LiveLine | None = None
        self._said_s = time.monotonic()
        self._last: Watched | None = None

    def changed(self, watched: Watched) -> None:
        """Show how it is going."""
        self._last = watched
        if can_move(sys.stderr):
            self._line = self._line or LiveLine(sys.stderr)
            self._line.update(lambda columns: status_line(watched)[:columns], at_once=True)
        elif watched.left and time.monotonic() - self._said_s >= LINE_EVERY_S:
            self.notice(status_line(watched))

    def notice(self, text: str) -> None:
        """Say something above the live line."""
        self._said_s = time.monotonic()
        say(text, sys.stderr)

    def looked(self, found: Discovery) -> None:
        """Say that the watch has begun, and what is in the folders and will not be described."""
        self.notice(f"watching for photos; records go to {self._output}")
        for line in passed_by(found):
            self.notice(line)

    def finished(self, result: BatchResult) -> None:
        """Say what became of a group. On a terminal, the live line tells of what went well."""
        counts = result.counts
        if counts.failures:
            self.notice(f"{plural(counts.failures, 'photo')} failed: see {self._output / 'failures.jsonl'}")
        if self._line is not None:
            return
        done = [f"{plural(counts.records, 'photo')} described"] if counts.records else []
        done += [f"{plural(counts.renamed, 'photo')} renamed"] if counts.renamed else []
        if done:
            self.notice(", ".join(done))

    def close(self) -> None:
        """Leave the line as it is, and say what was done."""
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._last is not None:
            say(f"ended: {self._last.described} described, {self._last.failed} failed", sys.stderr)
            say(f"records are in {self._output}", sys.stderr)


def status_line(watched: Watched) -> str:
    """Return how a watch is going: `watching 3 folders: 120 described, 2 failed, waiting`."""
    now = f"{watched.arriving} arriving" if watched.arriving else "waiting"
    if watched.left:
        now = f"{watched.left} to go"
    folders = plural(watched.folders, "folder")
    return f"watching {folders}: {watched.described} described, {watched.failed} failed, {now}"


@contextmanager
def ending_on_signals(end: Callable[[], bool]) -> Iterator[None]:
    """Let Ctrl-C, or the signal by which a service is ended, end a block; the second one ends the process at once.

    Args:
        end: Has the block end soon, or returns False where there is nothing to finish. The block is interrupted then.
    """
    signals = (signal.SIGINT, signal.SIGTERM)

    def ended(number: int, frame: FrameType | None) -> None:
        for one in signals:
            signal.signal(one, signal.SIG_DFL)
        if not end():
            raise KeyboardInterrupt
        os.write(2, STOPPING)  # not through `sys.stderr`, which the signal may have interrupted while it was writing

    before = {number: signal.signal(number, ended) for number in signals}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
