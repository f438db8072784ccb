"""Describe a few photos of a batch in a folder of their own, and tell from them what the whole batch will take."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from olpipe.describing.recipe import Recipe
from olpipe.engine.manager import Engine
from olpipe.image import ImageRef
from olpipe.imaging.discover import Discovery
from olpipe.pipeline.copies import EQUAL
from olpipe.pipeline.ledger import LEDGER_PATH, Ledger
from olpipe.pipeline.output import writing
from olpipe.pipeline.report import REPORT_NAME
from olpipe.pipeline.resolved import ResolvedRecipe
from olpipe.pipeline.run import BatchOptions, BatchResult, Observer, run_batch
from olpipe.pipeline.selection import spread
from olpipe.pipeline.survey import Survey, survey
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.findings import Findings

TRIED = 8
"""So many photos are described. The first one is not timed: it waits for the model to be loaded."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a batch will take, as a few of its photos tell.

    Attributes:
        wanted: Photos that the batch brings to an outcome.
        done: Those of them that have one already.
        left: Those that are left.
        records: The records of the photos that were tried, as they would be written.
        failures: The failures among them, in the same form.
        images_per_second: Photos a second; 0 where none was tried.
        prompt_tokens: Tokens of the prompt of one photo, on average.
        answer_tokens: Tokens of the answer for one photo, on average.
        bytes_per_photo: What one photo leaves on the disk, on average.
        is_most: Whether fewer photos may be left to describe: some may get the record of one that looks nearly the
            same, and only the run itself looks at all of them.
    """

    wanted: int
    done: int
    left: int
    records: tuple[dict[str, Any], ...] = ()
    failures: tuple[dict[str, Any], ...] = ()
    images_per_second: float = 0.0
    prompt_tokens: float = 0.0
    answer_tokens: float = 0.0
    bytes_per_photo: float = 0.0
    is_most: bool = False

    @property
    def seconds_left(self) -> float:
        """How long the batch will take, in seconds."""
        return self.left / self.images_per_second if self.images_per_second else 0.0


def forecast(
    found: Discovery,
    recipe: Recipe,
    options: BatchOptions,
    observer: Observer,
    *,
    plugins: Plugins,
    engine: Engine,
    settings: Settings,
) -> Forecast:
    """Describe some of the photos that are left to do, and tell what all of them will take.

    The output folder is only read. What is written lies in a temporary folder, which is removed.

    Raises:
        OutputBusy: A run writes to the output folder.
        OlpipeError: The batch could not begin, for one of the reasons that `run_batch` names.
    """
    with tempfile.TemporaryDirectory(prefix="olpipe-plan-") as name:
        before = _survey(
            found, recipe, options, Path(name, "before"), plugins=plugins, engine=engine, settings=settings
        )
        photos = [before.todo[place] for place in spread(range(len(before.todo)), TRIED)]
        trial = replace(recipe, sinks=("jsonl",))
        output = Path(name, "trial")

        def describe(chosen: Sequence[ImageRef]) -> BatchResult:
            part = replace(found, images=tuple(chosen))
            return run_batch(
                part,
                trial,
                BatchOptions(output, sandbox=options.sandbox, near=options.near),
                observer,
                plugins=plugins,
                engine=engine,
                settings=settings,
            )

        reports = []
        for chosen in (photos[:1], photos[1:]):  # the same folder: the second run goes on where the first one ended
            if chosen and not observer.stop.is_set():
                describe(chosen)
                reports.append(orjson.loads((output / REPORT_NAME).read_bytes()))
        is_most = options.near > EQUAL and len(before.todo) > len(photos)
        done = Forecast(before.wanted, before.records + before.failures, len(before.todo), is_most=is_most)
        return _told(done, reports, output) if reports else done


def _survey(
    found: Discovery,
    recipe: Recipe,
    options: BatchOptions,
    folder: Path,
    *,
    plugins: Plugins,
    engine: Engine,
    settings: Settings,
) -> Survey:
    """Find out what is left to do, in a copy of the ledger."""
    source, copy = options.output / LEDGER_PATH, folder / LEDGER_PATH
    if source.is_file():
        # Where there is no log of changes, no run is under way and none was killed: the file is all there is
        mode = "mode=ro" if source.with_name(f"{source.name}-wal").exists() else "immutable=1"
        copy.parent.mkdir(parents=True)
        with (
            writing(options.output),
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?{mode}", uri=True, timeout=0)) as old,
            closing(sqlite3.connect(copy)) as new,
        ):
            old.execute("SELECT 1 FROM photos LIMIT 1")  # a backup would wait for as long as a run writes there
            old.backup(new)
    with Ledger(folder) as ledger:
        key = ResolvedRecipe.resolve(recipe, plugins, engine, Findings(settings.models_folder)).key
        ledger.begin(key, {}, told=recipe.told)
        return survey(ledger, found.images, options.selection, near=options.near)


def _told(done: Forecast, reports: Sequence[dict[str, Any]], output: Path) -> Forecast:
    """Add to a forecast what the reports and the rows of the tried photos tell."""
    records, failures = (_rows(output / name) for name in ("records.jsonl", "failures.jsonl"))
    tried = max(1, len(records) + len(failures))
    tokens = {name: sum(report["tokens"][name] for report in reports) for name in reports[0]["tokens"]}
    answered = sum(tokens[name] for name in ("sampled_tokens", "forced_tokens", "spliced_tokens"))
    return replace(
        done,
        records=records,
        failures=failures,
        images_per_second=reports[-1]["images_per_second"],
        prompt_tokens=tokens["prompt_tokens"] / tried,
        answer_tokens=answered / tried,
        bytes_per_photo=_bytes(output, (*records, *failures)) / tried,
    )


def _rows(path: Path) -> tuple[dict[str, Any], ...]:
    return tuple(map(orjson.loads, path.read_bytes().splitlines())) if path.is_file() else ()


def _bytes(output: Path, rows: Sequence[dict[str, Any]]) -> int:
    """Return what some rows leave on the disk: what was written, and once more the rows, which the ledger keeps."""
    kept = sum(len(orjson.dumps(row)) for row in rows)
    paths = (path for path in output.rglob("*") if path.name != REPORT_NAME and LEDGER_PATH.parts[0] not in path.parts)
    return kept + sum(os.path.getsize(path) for path in paths if path.is_file())
