"""Write the records of a batch to sinks later: from its ledger alone, without a model and without the photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from olpipe.errors import OutputBusy, OutputUnavailable, UnknownName, UsageError
from olpipe.interfaces import RunInfo, SinkFactory
from olpipe.pipeline.last_run import last_run
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.pipeline.ledger_reader import refuse_missing
from olpipe.pipeline.outlets import Place, choose_places, open_outlets
from olpipe.pipeline.output import OTHER_FOLDER
from olpipe.pipeline.write import Writer
from olpipe.plugin_projects import way_to
from olpipe.registry import Registry


@dataclass(frozen=True, slots=True)
class Export:
    """What was written.

    Attributes:
        run: The run whose records these are.
        records: How many records each target holds now.
        places: Where they went.
        written: How many of them are new in each of these places.
        others: How many records of another recipe the targets held, which are replaced.
    """

    run: RunInfo
    records: int
    places: tuple[Place, ...]
    written: tuple[int, ...]
    others: int


def export_records(output: Path, sinks: Sequence[str], registry: Registry[SinkFactory]) -> Export:
    """Bring targets up to date with the records of the recipe that ran last.

    The ledger keeps how far each target is, as it does for `olpipe batch --sink`. So nothing is written twice, and a
    later run goes on where this ends.

    Args:
        output: The output folder of the batch.
        sinks: Each is `SCHEME` or `SCHEME:TARGET`.
        registry: All sinks.

    Raises:
        UsageError: The folder has no ledger, or no records, or a sink cannot be used.
        OutputBusy: A run writes there.
        OutputUnavailable: The ledger or a target cannot be written, or a target is somebody else's.
        DiskFull: There was no space for a target.
        PluginError: A sink failed.
    """
    for text in sinks:
        _check_known(text.partition(":")[0], registry)
    with opened(output) as ledger:
        run = last_run(ledger)
        if run is not None:
            ledger.begin(run.recipe_key, {})
        if run is None or not ledger.count(RECORD):
            raise UsageError(f"`{output}` has no records yet", hint="run `olpipe batch` first")
        chosen = choose_places(sinks, run.schema, output, registry)
        places = tuple(place for place in chosen if place.kind == RECORD)
        with Writer(ledger, open_outlets(places, run, registry)) as writer:
            others = ledger.begin(run.recipe_key, {str(place): place.kind for place in places})
            writer.start()
            writer.flush()
            written = tuple(writer.appended[str(place)] for place in places)
            return Export(run, ledger.count(RECORD), places, written, others)


def _check_known(scheme: str, registry: Registry[SinkFactory]) -> None:
    """Refuse a sink that there is not, and say which there are.

    Raises:
        UnknownName: There is no such sink.
    """
    try:
        registry.get(scheme)
    except UnknownName as error:
        if way_to(registry.kind, scheme, registry.not_loaded):
            raise
        known = f"sinks are {', '.join(registry.names())}"
        hint = f"{error.hint} {known}" if error.hint and error.hint.startswith("did you mean") else known
        raise UnknownName(error.message, hint=hint) from error


def opened(output: Path) -> Ledger:
    """Open the ledger of a batch. None is made where there is none.

    Raises:
        UsageError: There is none.
        OutputBusy: Another command works there.
        OutputUnavailable: It cannot be written, or another version of olpipe wrote it.
    """
    try:
        refuse_missing(output)
        return Ledger(output)
    except OutputBusy as error:
        hint = (error.hint or "").partition(", or ")[0]  # another folder has no records to export
        raise OutputBusy(error.message, hint=hint) from error
    except OutputUnavailable as error:
        if error.hint == OTHER_FOLDER:
            hint = "make the folder writable, or use the version of olpipe that wrote it"
            raise OutputUnavailable(error.message, hint=hint) from error
        raise
