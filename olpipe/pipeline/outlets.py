"""Where a run's rows go: sinks by scheme and target. All are checked before any is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from olpipe.errors import OutputUnavailable, UsageError
from olpipe.interfaces import RunInfo, Sink, SinkFactory
from olpipe.pipeline.ledger import FAILURE, LEDGER_PATH, RECORD
from olpipe.pipeline.output import OTHER_FOLDER, writing
from olpipe.pipeline.page.page import FILES_NAME, PAGE_NAME
from olpipe.pipeline.report import REPORT_NAME
from olpipe.pipeline.write import Outlet, close_outlets
from olpipe.registry import Registry

FAILURES_SCHEME, FAILURES_TARGET = "jsonl", "failures.jsonl"
"""Photos that could not be described are always listed here."""

# What the pipeline itself writes in the output folder, and how an error describes it
_OURS = {
    FAILURES_TARGET: "where photos are listed that could not be described",
    REPORT_NAME: "the report of the run",
    PAGE_NAME: "the page to look at",
    FILES_NAME: "where the files of the page lie",
    LEDGER_PATH.parts[0]: "where the ledger lies",
}


@dataclass(frozen=True, slots=True)
class Place:
    """One place that rows go to.

    Attributes:
        scheme: The sink's scheme.
        target: The target that the sink opens.
        kind: The kind of rows that go there.
    """

    scheme: str
    target: str
    kind: str = RECORD

    def __str__(self) -> str:
        """Return the name under which the ledger knows the place."""
        return f"{self.scheme}:{self.target}"


def choose_places(
    sinks: Sequence[str], schema: Mapping[str, Any], output: Path, registry: Registry[SinkFactory]
) -> tuple[Place, ...]:
    """Return where the rows of a run go, without opening anything.

    Args:
        sinks: Each is `SCHEME` or `SCHEME:TARGET`.
        schema: JSON Schema of the answers.
        output: The output folder.
        registry: All sinks.

    Raises:
        UnknownName: There is no such sink.
        UsageError: Two go to the same target, or one cannot take records of the schema.
        PluginError: A sink failed.
    """
    places: dict[str, Place] = {}
    for text in sinks:
        place = _place(text, registry)
        _check_accepted(place, schema, registry)
        path = os.path.abspath(output / place.target)
        _check_free(place, path, output)
        if path in places:
            raise UsageError(
                f"`{places[path]}` and `{place}` go to the same target",
                hint=f"give each a target of its own, like `{place.scheme}:TARGET`",
            )
        places[path] = place
    return (*places.values(), Place(FAILURES_SCHEME, FAILURES_TARGET, FAILURE))


def open_outlets(places: Sequence[Place], run: RunInfo, registry: Registry[SinkFactory]) -> dict[str, Outlet]:
    """Open the sinks of a run, by the name under which the ledger knows each place.

    Raises:
        DiskFull: There was no space for a target.
        OutputUnavailable: A target cannot be written.
        PluginError: A sink failed.
    """
    outlets: dict[str, Outlet] = {}
    try:
        for place in places:
            using = partial(_using, place, run.output, registry)
            with using():
                sink = registry.get(place.scheme).open(place.target, run)
                if not isinstance(sink, Sink):
                    raise TypeError(f"it opened a {type(sink).__name__} where a sink is expected")
            outlets[str(place)] = Outlet(sink, place.kind, using)
    except BaseException:
        close_outlets(outlets.values())
        raise
    return outlets


def _place(text: str, registry: Registry[SinkFactory]) -> Place:
    scheme, _, target = text.partition(":")
    factory = registry.get(scheme)
    with registry.blaming(scheme):
        return Place(scheme, target or factory.usual_target)


def _check_accepted(place: Place, schema: Mapping[str, Any], registry: Registry[SinkFactory]) -> None:
    with registry.blaming(place.scheme):
        reason = registry.get(place.scheme).accepts(schema)
        if reason is not None and not (isinstance(reason, str) and reason.strip()):
            raise TypeError(f"`accepts` returned {reason!r}, and None or a reason is expected")
    if reason is not None:
        raise UsageError(
            f"the sink `{place.scheme}` cannot take the records of this recipe: {reason}",
            hint="change the recipe's schema, or leave the sink out",
        )


def _check_free(place: Place, path: str, output: Path) -> None:
    """Refuse a target that the pipeline writes itself."""
    for name, what in _OURS.items():
        ours = os.path.abspath(output / name)
        if path == ours or path.startswith(ours + os.sep):
            raise UsageError(f"`{place.target}` is {what}", hint=_elsewhere(place))


def _elsewhere(place: Place) -> str:
    return f"name another target: `{place.scheme}:TARGET`"


@contextmanager
def _using(place: Place, output: Path, registry: Registry[SinkFactory]) -> Iterator[None]:
    """Run a sink's own code, and turn its errors into clear messages."""
    target = Path(place.target)
    where = writing(target, hint=_elsewhere(place)) if target.is_absolute() else writing(output)
    try:
        with where, registry.blaming(place.scheme, but=(OSError,)):
            yield
    except OutputUnavailable as error:
        if place.kind == FAILURE:  # failures have no other target
            raise OutputUnavailable(error.message, hint=f"move it away, or {OTHER_FOLDER}") from error
        raise
