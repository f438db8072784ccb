"""`olpipe review`: approve, edit and reject what the model wrote, in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.pipeline.reviews import ReviewCounts
    from olpipe.reviewing.review import ReviewResult


@click.command()
@click.argument("output", type=click.Path(path_type=Path), metavar="OUTPUT")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Serve the page here. By default, at a free port."
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@click.option("--status", is_flag=True, help="Say how many records are reviewed, and serve nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --status, write it to stdout as one JSON object.")
@click.pass_obj
def review(app: App, /, *, output: Path, port: int, opens: bool, status: bool, as_json: bool) -> int:
    """Approve, edit or reject what the model wrote, in a browser.

    OUTPUT is the folder that `olpipe batch` wrote to. Its page is served on this machine only, at an address that
    nobody else knows. Each change is kept at once, for this recipe and all later ones. Ctrl-C ends the review,
    and brings the files of the batch up to date.
    """
    from olpipe.reviewing.review import review as serve
    from olpipe.reviewing.review import review_status

    if status:
        _tell_status(review_status(output), output, as_json=as_json)
        return 0
    if as_json:
        raise click.UsageError("`--json` goes with `--status`")

    def started(address: str, records: int) -> None:
        click.echo(f"{_plural(records)} to review at {address}", err=True)
        click.echo("Ctrl-C ends the review", err=True)
        if opens:
            click.launch(address)

    result = serve(output, app.settings, app.plugins, port=port, started=started, notice=_say)
    _tell(result.counts)
    if result.caught_up.targets:
        click.echo(f"brought up to date: {'  '.join(result.caught_up.targets)}", err=True)
    if result.caught_up.error is not None:
        raise result.caught_up.error
    return 0


def _tell_status(result: ReviewResult, output: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_described(result, output), indent=2, ensure_ascii=False))
    else:
        _tell(result.counts)


def _described(result: ReviewResult, output: Path) -> dict[str, Any]:
    """Return what `--status --json` writes."""
    counts = result.counts
    return {
        "output": str(output),
        "recipe": result.run.recipe,
        "model": result.run.model,
        "records": counts.records,
        "reviewed": counts.reviewed,
        "not_reviewed": counts.records - counts.reviewed,
        "approved": counts.approved,
        "edited": counts.edited,
        "rejected": counts.rejected,
        "approved_share": counts.approved_share,
    }


def _tell(counts: ReviewCounts) -> None:
    share = "" if counts.approved_share is None else f" ({counts.approved_share:.0%} of those reviewed)"
    click.echo(
        f"{counts.reviewed} of {_plural(counts.records)} reviewed: {counts.approved} approved{share},"
        f" {counts.edited} edited, {counts.rejected} rejected",
        err=True,
    )


def _plural(records: int) -> str:
    return "1 record" if records == 1 else f"{records} records"


def _say(text: str) -> None:
    click.echo(text, err=True)
