"""Bring the targets of a batch up to date after people have changed what its records say."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from olpipe.errors import OlpipeError
from olpipe.interfaces import RunInfo, SinkFactory
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.pipeline.outlets import choose_places, open_outlets
from olpipe.pipeline.write import Writer
from olpipe.registry import Registry

logger = logging.getLogger(__name__)

_BEHIND = (
    "SELECT target FROM targets WHERE kind = ? AND recipe_key = ? AND seq <"
    " (SELECT max(seq) FROM rows WHERE rows.kind = targets.kind AND rows.recipe_key = targets.recipe_key)"
)


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What was brought up to date.

    Attributes:
        targets: The targets, each as `SCHEME:TARGET`.
        error: The first error of a target that could not be written; None where all could.
    """

    targets: tuple[str, ...] = ()
    error: OlpipeError | None = None


def catch_up(ledger: Ledger, run: RunInfo, registry: Registry[SinkFactory]) -> CaughtUp:
    """Write the rows that targets of a run lack. One that cannot be written does not stop the others.

    Such a target is brought up to date by the next batch or export that names it.
    """
    behind = [target for (target,) in ledger.run(_BEHIND, (RECORD, run.recipe_key)).fetchall()]
    done: list[str] = []
    first: OlpipeError | None = None
    for target in behind:
        try:
            _write(ledger, run, target, registry)
        except OlpipeError as error:
            logger.warning("`%s` is not up to date: %s", target, error.message)
            first = first or error
        else:
            done.append(target)
    return CaughtUp(tuple(done), first)


def _write(ledger: Ledger, run: RunInfo, target: str, registry: Registry[SinkFactory]) -> None:
    chosen = choose_places([target], run.schema, ledger.output, registry)
    places = [place for place in chosen if place.kind == RECORD]
    with Writer(ledger, open_outlets(places, run, registry)) as writer:
        ledger.begin(run.recipe_key, {str(place): place.kind for place in places})
        writer.start()
        writer.flush()
