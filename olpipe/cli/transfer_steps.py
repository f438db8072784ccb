"""Show the lines that say how far a pull or a push is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from olpipe.client.steps import step_of

if TYPE_CHECKING:
    from olpipe.cli.inventory.models import Tell

_JSON_EVERY_S = 0.1
_BUILDING = "building model"
_UNTOLD = ("pulling manifest", "success")
"""At the first of these, it is not known yet whether there is such a model. Of the second, the command tells."""


@contextmanager
def showing(explanation: str, name: object, *, as_json: bool) -> Iterator[Tell]:
    """Yield what is to be told every line.

    Args:
        explanation: What is being done. It is written before the first step.
        name: What the model is called.
        as_json: Whether each line is written to stdout as it is, and nothing else is shown.
    """
    if as_json:
        yield _JsonLines()
        return
    from olpipe.cli.progress import shown

    with shown(explanation) as display:

        def tell(line: Mapping[str, Any]) -> None:
            step = step_of(line)
            if step.status == _BUILDING:
                display.explain(f"building `{name}`: this may take some minutes, once")
            elif step.status not in _UNTOLD:
                display(step)

        yield tell


class _JsonLines:
    """Writes lines to stdout as they are, and those about the same step only now and then."""

    def __init__(self) -> None:
        self._status = ""
        self._written_s = 0.0

    def __call__(self, line: Mapping[str, Any]) -> None:
        step, now = step_of(line), time.monotonic()
        is_between = step.status == self._status and step.completed != step.total
        if not (is_between and now - self._written_s < _JSON_EVERY_S):
            self._status, self._written_s = step.status, now
            click.echo(json.dumps(dict(line), ensure_ascii=False))
            sys.stdout.flush()
