"""Show on stderr how a batch goes: a bar on a terminal, a line now and then anywhere else, a summary at the end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from olpipe.cli.bar import Rate, bar_line
from olpipe.cli.live_line import LiveLine, can_move, is_ascii, say
from olpipe.interfaces import Progress

if TYPE_CHECKING:
    from olpipe.imaging.discover import Discovery
    from olpipe.pipeline.report import Counts
    from olpipe.pipeline.run import BatchResult

LINE_EVERY_S = 10.0
"""Where no bar is shown, a line says so often how far the run is."""

SLOW = 5.0
"""Up to so many photos a second, each one is shown at once."""

MOST_LINES = 5
"""At most so many folders are named one by one."""

STOPPING = b"\nfinishing the photos in flight; press Ctrl-C again to quit at once\n"


class BatchDisplay:
    """Follows the counts of a run."""

    def __init__(self) -> None:
        self.working = False
        """Whether photos are being worked on, so that an interrupt should let them finish."""
        self._line: LiveLine | None = None
        self._rate = Rate()
        self._line_s = time.monotonic()

    def progress(self, counts: Counts) -> None:
        """Show the counts."""
        is_first = not self.working
        if is_first:
            self.working = True
            self._line_s = time.monotonic()
            if can_move(sys.stderr):
                self._line = LiveLine(sys.stderr)
        self._rate.add(time.monotonic(), counts.done)
        if self._line is not None:
            self._show(self._line, counts, at_once=is_first)
        elif time.monotonic() - self._line_s >= LINE_EVERY_S:
            self._line_s = time.monotonic()
            rate, failed = self._rate.per_second, counts.failures + counts.failures_before
            say(f"{counts.done}/{counts.wanted} photos, {rate:.2f} images/s, {failed} failed", sys.stderr)

    def notice(self, text: str) -> None:
        """Say something without breaking the bar."""
        say(text, sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is and go to the next line."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _show(self, line: LiveLine, counts: Counts, *, at_once: bool) -> None:
        progress = Progress("photos", counts.done, counts.wanted, "photos")
        rate, ascii_only = self._rate.per_second, is_ascii(sys.stderr)
        failed = counts.failures + counts.failures_before
        note = f"{failed} failed" if failed else ""
        line.update(
            lambda columns: bar_line(progress, columns, rate=rate, note=note, ascii_only=ascii_only),
            at_once=at_once or rate < SLOW,  # the next photo may take long, so the line would be wrong for long
        )


@contextmanager
def finishing_on_interrupt(stop: threading.Event, display: BatchDisplay) -> Iterator[None]:
    """Let the first Ctrl-C set `stop` once photos are being worked on; the second ends the process at once."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not display.working:  # it looks for photos or pulls a model: there is nothing to finish
            raise KeyboardInterrupt
        stop.set()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.write(2, STOPPING)  # not through `sys.stderr`, which the signal may have interrupted while it was writing

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def passed_by(found: Discovery) -> Iterator[str]:
    """Yield a line for each kind of thing in the folders that will not be described."""
    for folder in found.unopened[:MOST_LINES]:
        yield f"warning: cannot look into {folder}"
    if len(found.unopened) > MOST_LINES:
        yield f"warning: cannot look into {len(found.unopened) - MOST_LINES} more folders"
    if found.missing:
        names = ", ".join(f"`{name}`" for name in found.missing[:MOST_LINES])
        more = ", …" if len(found.missing) > MOST_LINES else ""
        yield f"warning: {plural(len(found.missing), 'file')} of the list not found: {names}{more}"
    if found.programs_folders:
        names = ", ".join(f"`{folder}`" for folder in found.programs_folders[:MOST_LINES])
        more = ", …" if len(found.programs_folders) > MOST_LINES else ""
        yield f"left out, as programs keep them for themselves: {names}{more}; name one to have it described"
    if found.videos:
        yield f"left out: {plural(found.videos, 'video')}"
    if found.archives:
        yield f"left out: {plural(found.archives, 'archive')}; give one itself to have its photos described"
    if found.excluded:
        yield f"left out: {found.excluded} that `--exclude` names"
    if found.links_skipped:
        links = "1 link that leads" if found.links_skipped == 1 else f"{found.links_skipped} links that lead"
        yield f"not followed: {links} to a folder, or out of the folders given"
    if found.links_in_archives:
        yield f"not followed: {plural(found.links_in_archives, 'link')} in archives"


def summarise(result: BatchResult, output: Path, *, page: bool = False, out_of_time: bool = False) -> None:
    """Say how the run ended, where its results are, and what to do next.

    Args:
        result: How it ended.
        output: The output folder.
        page: Whether there is a page to look at.
        out_of_time: Whether it was stopped because the user gave it only some hours.
    """
    from olpipe.pipeline.page.page import PAGE_NAME

    counts = result.counts
    records, failures = counts.records_before + counts.records, counts.failures_before + counts.failures
    parts = [plural(records, "record") + (f" ({counts.records} new)" if counts.records_before else "")]
    if failures:
        parts.append(f"{failures} failed")
    if counts.equal:
        parts.append(f"{counts.equal} equal to others")
    if counts.copied:
        parts.append(f"{counts.copied} copied")
    if counts.renamed:
        parts.append(f"{counts.renamed} renamed")
    click.echo(f"{plural(counts.wanted, 'photo')}: {', '.join(parts)}", err=True)
    if doubtful := _doubtful(counts):
        click.echo(f"{doubtful}: see `certainty` in the records", err=True)
    if reviewed := _reviewed(counts):
        click.echo(reviewed, err=True)
    places = [_place(target, output) for target in result.targets]
    places += [
        str(output / name)
        for name in (*(["failures.jsonl"] if failures else []), "run.json", *([PAGE_NAME] if page else []))
    ]
    click.echo("see " + "  ".join(places), err=True)
    if result.status == "interrupted":
        why = "the time is over" if out_of_time else "interrupted"
        click.echo(f"{why} with {plural(counts.left, 'photo')} left", err=True)
        click.echo("hint: run the same command again to go on", err=True)
    elif counts.failures_before:
        click.echo("hint: `--retry-failed` tries again what failed before", err=True)


def _doubtful(counts: Counts) -> str:
    """Return how many photos were not recognised and how many are unsure; an empty text where there are none."""
    unsure = "is unsure" if counts.unsure == 1 else "are unsure"
    if not counts.unrecognised:
        return f"{plural(counts.unsure, 'photo')} {unsure}" if counts.unsure else ""
    unrecognised = "was not recognised" if counts.unrecognised == 1 else "were not recognised"
    also = f" and {counts.unsure} {unsure}" if counts.unsure else ""
    return f"{plural(counts.unrecognised, 'photo')} {unrecognised}{also}"


def _reviewed(counts: Counts) -> str:
    """Return how many photos people have reviewed; an empty text where there are none."""
    numbers = {"approved": counts.approved, "edited": counts.edited, "rejected": counts.rejected}
    parts = ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
    return f"{plural(sum(numbers.values()), 'photo')} reviewed: {parts}" if parts else ""


def _place(target: str, output: Path) -> str:
    """Return the path of a target that is a file or a folder, else the target as it was named."""
    path = output / target.partition(":")[2]
    return str(path) if path.exists() else target


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: `1 photo`, `2 photos`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
