"""Run a review: open the ledger of a batch, serve the page until the user ends it, and bring the targets up to date."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from olpipe.errors import OlpipeError, OutputUnavailable, UsageError
from olpipe.interfaces import RunInfo
from olpipe.network.addresses import Address
from olpipe.pipeline.catch_up import CaughtUp, catch_up
from olpipe.pipeline.export import opened
from olpipe.pipeline.last_run import last_run
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.pipeline.output import REVIEW_PATH, writing
from olpipe.pipeline.page.page import PAGE_NAME, Page, about_photos, refuse_other_page
from olpipe.pipeline.reviews import ReviewCounts
from olpipe.plugins import Plugins
from olpipe.settings import Settings

HOST = "127.0.0.1"
_TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """How a review ended.

    Attributes:
        run: The run whose records were reviewed.
        counts: How many of them people have reviewed, in this review and earlier ones.
        caught_up: The targets that were brought up to date.
    """

    run: RunInfo
    counts: ReviewCounts
    caught_up: CaughtUp = field(default_factory=CaughtUp)


def review_status(output: Path) -> ReviewResult:
    """Count the reviews of the recipe that ran last. Nothing is served or written to a target.

    Raises:
        UsageError: The folder has no ledger, or no records.
        OutputBusy: Another command works there.
        OutputUnavailable: The ledger cannot be read.
    """
    with _opened(output) as (ledger, run):
        return ReviewResult(run, ledger.reviews.count(run.recipe_key))


def review(
    output: Path,
    settings: Settings,
    plugins: Plugins,
    *,
    port: int = 0,
    started: Callable[[str, int], None],
    notice: Callable[[str], None],
) -> ReviewResult:
    """Let people review the records of the recipe that ran last, until the process is told to stop.

    Args:
        output: The output folder of the batch.
        settings: The limits of the server.
        plugins: The sinks, and the image loaders for thumbnails that are missing.
        port: Where the page is served; 0 takes a port that is free.
        started: Told the page's address and the number of records, when the page can be opened.
        notice: Called with a line for the user.

    Raises:
        UsageError: The folder has no ledger, or no records.
        OlpipeError: The port is taken.
        OutputBusy: Another command works there.
        OutputUnavailable: The ledger cannot be written.
    """
    from olpipe.reviewing.app import application
    from olpipe.reviewing.changes import Changes
    from olpipe.server.edge.listen import serve

    with _opened(output) as (ledger, run), _noted(output):
        ledger.run("PRAGMA synchronous = FULL")  # what people do is safe from a power cut, too
        page = Page(output, ledger, about_photos(run), plugins.image_loaders)
        page.add_thumbnails(notice=notice, stopped=lambda: False)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        app = application(Changes(ledger, run), about_photos(run), output, token)
        records = ledger.count(RECORD)
        own = replace(settings, host=Address("http", HOST, port), tls_cert=None, tls_key=None)
        with _explaining(port):
            serve(app, own, started=lambda address: started(f"{address}/{token}/", records), stop=lambda: None)
        counts = ledger.reviews.count(run.recipe_key)
        caught_up = catch_up(ledger, run, plugins.sinks)
        ledger.begin(run.recipe_key, {})
        if _has_page(output):
            page.write(notice=notice, stopped=lambda: False)
        return ReviewResult(run, counts, caught_up)


@contextmanager
def _opened(output: Path) -> Iterator[tuple[Ledger, RunInfo]]:
    """Open the ledger of a batch, with the recipe that ran last."""
    with opened(output) as ledger:
        run = last_run(ledger)
        if run is not None:
            ledger.begin(run.recipe_key, {})
        if run is None or not ledger.count(RECORD):
            raise UsageError(f"`{output}` has no records yet", hint="run `olpipe batch` first")
        yield ledger, run


@contextmanager
def _noted(output: Path) -> Iterator[None]:
    """Note which process reviews the folder, so that others can say what they wait for."""
    with writing(output):
        (output / REVIEW_PATH).write_text(str(os.getpid()), encoding="ascii")
    try:
        yield
    finally:
        with suppress(OSError):
            (output / REVIEW_PATH).unlink()


@contextmanager
def _explaining(port: int) -> Iterator[None]:
    """Say what to do about a port that cannot be had."""
    try:
        yield
    except OlpipeError as error:
        raise OlpipeError(
            error.message, hint="give another one with `--port`, or none to take one that is free"
        ) from error


def _has_page(output: Path) -> bool:
    """Say whether the folder has a page of olpipe."""
    try:
        refuse_other_page(output)
    except OutputUnavailable:
        return False
    return (output / PAGE_NAME).is_file()
