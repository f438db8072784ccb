"""`olpipe doctor`: a report on the machine, what a model needs, and whether it really sees."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import words
from olpipe.errors import StoreError, UsageError

if TYPE_CHECKING:
    from olpipe.checkup.condition import Condition
    from olpipe.checkup.examination import Examination
    from olpipe.cli.app import App
    from olpipe.cli.progress import Display
    from olpipe.store.findings import Fit

logger = logging.getLogger(__name__)

ESTIMATE_AFTER = 3
FAILED = 1

_ORDERS = {
    "xyxy": "two corners, x before y",
    "yxyx": "two corners, y before x",
    "xywh": "a corner, the width and the height",
}
_UNITS = {
    "thousandths": "thousandths of the sides",
    "fractions": "fractions of the sides from 0 to 1",
    "pixels": "pixels of the image as the model saw it",
    "original_pixels": "pixels of the original",
}


@click.command()
@click.argument("model", required=False)
@click.option("--eyes", is_flag=True, help="Ask the model about pictures, and say whether it really sees them.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def doctor(app: App, model: str | None, eyes: bool, as_json: bool) -> int:
    """Say whether everything is there to run MODEL. Without MODEL, report on this machine and say what to do next.

    The report says which runtimes, models, image formats, settings and plugins there are, and what is wrong with them.
    The exit code is 1 where something is missing that models need to run, and 0 otherwise.

    With `--eyes`, the model is asked up to 60 questions about pictures of shapes and words that are drawn for it. Its
    answers tell what it sees, and how it says where something is. `olpipe batch` uses that from then on.
    """
    if model is None:
        if eyes:
            raise UsageError("`--eyes` needs a model to examine", hint="run `olpipe doctor MODEL --eyes`")
        return _machine(app, as_json=as_json)
    return _eyes(app, model, as_json=as_json) if eyes else _model(app, model, as_json=as_json)


def _machine(app: App, *, as_json: bool) -> int:
    """Write what this machine has, what is missing, and what to do about it."""
    from olpipe.checkup.general import machine_report

    found = machine_report(app.settings, app.library, app.plugins)
    if as_json:
        _write(found.to_json())
    else:
        from olpipe.cli.colours import in_colour
        from olpipe.cli.doctor_report import report_lines

        click.echo("\n".join(report_lines(found)), color=in_colour(sys.stdout))
    return 0 if found.is_well else FAILED


def _model(app: App, model: str, *, as_json: bool) -> int:
    """Write what a model needs, and whether it is there."""
    from olpipe.checkup.condition import condition
    from olpipe.model import ModelName

    found = condition(ModelName.parse(model), app.library, app.plugins.backends)
    if as_json:
        _write(found.to_json())
    else:
        click.echo(words.table(list(_condition_rows(found)), columns=words.screen_columns()))
    return 0 if found.is_well else FAILED


def _condition_rows(found: Condition) -> list[tuple[str, str]]:
    parts = [(part.name, words.size(part.size_bytes) + ("" if part.is_here else ", missing")) for part in found.parts]
    rows = [*parts, ("backend", found.backend or f"none: {found.refused}")]
    if found.runtime:
        rows.append(("runtime", f"{found.runtime}, {'installed' if found.runtime_is_here else 'not installed'}"))
    memory = f"{words.size(found.available_bytes)} available, the files have {words.size(found.size_bytes)}"
    if found.size_bytes > found.available_bytes:
        memory += ": it may not be enough"
    rows += [("memory", memory), ("capabilities", ", ".join(found.capabilities))]
    if "vision" in found.capabilities:
        said = f"not examined: `olpipe doctor {found.model} --eyes` does that"
        rows.append(("eyes", said if found.finding is None else found.finding.verdict))
    return rows


def _eyes(app: App, model: str, *, as_json: bool) -> int:
    """Examine whether a model sees, keep what was found, and write it."""
    from olpipe.checkup.examination import check_sees, examine
    from olpipe.cli.progress import shown
    from olpipe.model import ModelName

    bundle = app.library.get(ModelName.parse(model))
    check_sees(bundle)
    with (
        shown(f"`{model}` is not built yet: this happens once") as progress,
        shown(f"asking `{model}` about pictures") as display,
        app.engine(progress) as engine,
    ):
        found = examine(bundle, engine, app.plugins, _Follower(display, building=progress))
    if as_json:
        _write(found.to_json())
    else:
        click.echo("\n\n".join(_sections(found)))
    if found.unasked:
        click.echo(
            f"{len(found.unasked)} questions could not be asked, so nothing is kept: {found.unasked[0]}", err=True
        )
        return FAILED
    try:
        app.library.findings.keep(bundle.digest, found.finding)
    except StoreError as error:
        logger.warning("what was found is not kept: %s", error.message)
    return 0


class _Follower:
    """Shows how many questions are answered, and says early how long all of them take."""

    def __init__(self, display: Display, *, building: Display) -> None:
        self._display = display
        self._building = building
        self._started_s: float | None = None

    def __call__(self, done: int, total: int) -> None:
        from olpipe.interfaces import Progress

        if self._started_s is None:  # the first question is answered: before it, the model was loaded
            self._started_s = time.monotonic()
            self._building.close()  # two bars at once would overwrite each other
        if done == ESTIMATE_AFTER:
            left_s = (time.monotonic() - self._started_s) / (done - 1) * (total - done)
            self._display.explain(f"{total - done} more questions will take about {_about(left_s)}")
        self._display(Progress("asking", done, total, "questions"))


def _about(seconds: float) -> str:
    """Write a length of time in whole seconds or minutes."""
    number, unit = (max(1, round(seconds)), "second") if seconds < 90 else (round(seconds / 60), "minute")
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _sections(found: Examination) -> list[str]:
    """Return what is written of an examination: the answers, the boxes, and the verdict."""
    rows = [
        (score.kind.replace("_", " "), f"{score.right} of {score.asked} right", f"guessing: {score.guessing:.0%}")
        for score in found.scores
    ]
    return [words.table(rows), *_box_lines(found), found.verdict]


def _box_lines(found: Examination) -> list[str]:
    """Return lines about boxes: how well they fit, and what a batch makes of that."""
    finding = found.finding
    if found.own is None:
        return ["boxes: not asked for, because no way is known in which this model says them"]
    if finding.usual is None or finding.best is None:
        return []
    lines = [f"boxes as its family says them: {_way(finding.usual)}"]
    if finding.best != finding.usual:
        lines.append(f"boxes as they fit best: {_way(finding.best)}")
    used = finding.boxes
    if used is None:
        lines.append("They are wrong in every way to read them, so `olpipe batch` does not ask for boxes.")
    elif used != finding.usual:
        lines.append("`olpipe batch` reads them in the way that fits best.")
    return ["\n".join(lines)]


def _way(fit: Fit) -> str:
    return f"{_ORDERS[fit.order]}, in {_UNITS[fit.unit]}; median overlap {fit.overlap:.2f}"


def _write(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
