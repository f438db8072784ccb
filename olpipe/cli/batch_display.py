"""Show on stderr how a batch goes: a bar on a terminal, a line now and then anywhere else, a summary at the end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from olpipe.imaging.discover import Discovery
    from olpipe.pipeline.report import Counts
    from olpipe.pipeline.run import BatchResult

LINE_EVERY_S = 10.0

MOST_LINES = 5
"""At most so many folders are named one by one."""

STOPPING = b"\nfinishing the photos in flight; press Ctrl-C again to quit at once\n"


class BatchDisplay:
    """Follows the counts of a run."""

    def __init__(self) -> None:
        self.working = False
        """Whether photos are being worked on, so that an interrupt should let them finish."""
        self._bar: Any = None
        self._started_s = self._line_s = time.monotonic()
        self._before = 0

    def progress(self, counts: Counts) -> None:
        """Show the counts."""
        if not self.working:
            self.working = True
            self._started_s = self._line_s = time.monotonic()
            self._before = counts.done
            if sys.stderr.isatty():
                self._bar = _bar(counts)
        if self._bar is not None:
            self._bar.set_postfix(failed=counts.failures + counts.failures_before, refresh=False)
            self._bar.update(counts.done - self._bar.n)
        elif time.monotonic() - self._line_s >= LINE_EVERY_S:
            self._line_s = time.monotonic()
            rate = (counts.done - self._before) / (self._line_s - self._started_s)
            failed = counts.failures + counts.failures_before
            click.echo(f"{counts.done}/{counts.wanted} photos, {rate:.2f} images/s, {failed} failed", err=True)

    def notice(self, text: str) -> None:
        """Say something without breaking the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)

    def close(self) -> None:
        """Leave the bar as it is and go to the next line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _bar(counts: Counts) -> Any:
    from tqdm import tqdm

    # Some terminals say that they have no columns. tqdm would believe that and draw nothing.
    size = shutil.get_terminal_size()
    return tqdm(
        desc="photos",
        total=counts.wanted,
        initial=counts.done,
        unit=" images",
        smoothing=0.1,
        file=sys.stderr,
        ncols=size.columns,
        nrows=size.lines,
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
    if found.programs_folders:
        names = ", ".join(f"`{folder}`" for folder in found.programs_folders[:MOST_LINES])
        more = ", …" if len(found.programs_folders) > MOST_LINES else ""
        yield f"left out, as programs keep them for themselves: {names}{more}; name one to have it described"
    if found.videos:
        yield f"left out: {_plural(found.videos, 'video')}"
    if found.excluded:
        yield f"left out: {found.excluded} that `--exclude` names"
    if found.links_skipped:
        links = "1 link that leads" if found.links_skipped == 1 else f"{found.links_skipped} links that lead"
        yield f"not followed: {links} to a folder, or out of the folders given"


def summarise(result: BatchResult, output: Path) -> None:
    """Say how the run ended, where its results are, and what to do next."""
    counts = result.counts
    records, failures = counts.records_before + counts.records, counts.failures_before + counts.failures
    parts = [_plural(records, "record") + (f" ({counts.records} new)" if counts.records_before else "")]
    if failures:
        parts.append(f"{failures} failed")
    if counts.equal:
        parts.append(f"{counts.equal} equal to others")
    if counts.renamed:
        parts.append(f"{counts.renamed} renamed")
    click.echo(f"{_plural(counts.wanted, 'photo')}: {', '.join(parts)}", err=True)
    if doubtful := _doubtful(counts):
        click.echo(f"{doubtful}: see `certainty` in the records", err=True)
    places = [_place(target, output) for target in result.targets]
    places += [str(output / name) for name in (*(["failures.jsonl"] if failures else []), "run.json")]
    click.echo("see " + "  ".join(places), err=True)
    if result.status == "interrupted":
        click.echo(f"interrupted with {_plural(counts.left, 'photo')} left", err=True)
        click.echo("hint: run the same command again to go on", err=True)
    elif counts.failures_before:
        click.echo("hint: `--retry-failed` tries again what failed before", err=True)


def _doubtful(counts: Counts) -> str:
    """Return how many photos were not recognised and how many are unsure; an empty text where there are none."""
    unsure = "is unsure" if counts.unsure == 1 else "are unsure"
    if not counts.unrecognised:
        return f"{_plural(counts.unsure, 'photo')} {unsure}" if counts.unsure else ""
    unrecognised = "was not recognised" if counts.unrecognised == 1 else "were not recognised"
    also = f" and {counts.unsure} {unsure}" if counts.unsure else ""
    return f"{_plural(counts.unrecognised, 'photo')} {unrecognised}{also}"


def _place(target: str, output: Path) -> str:
    """Return the path of a target that is a file or a folder, else the target as it was named."""
    path = output / target.partition(":")[2]
    return str(path) if path.exists() else target


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
