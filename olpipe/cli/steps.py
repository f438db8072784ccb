"""Show the steps of the making of a model: a line for each, and a bar while bytes are copied."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from olpipe.cli.live_line import say
from olpipe.cli.progress import Display
from olpipe.interfaces import Progress

_JSON_EVERY_S = 0.5
_WAITING = "building"
"""What a server says while the process that builds a model has not begun yet."""


class Steps:
    """Shows steps on stderr, as Ollama does, or writes them to stdout as JSON. It is a `ProgressCallback`."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._display = Display("", sys.stderr)
        self._said = ""
        self._written_s = 0.0

    def __call__(self, step: Progress) -> None:
        """Show a step, unless it was the last one that was shown."""
        if step.status == _WAITING and step.total is None:
            return
        if self._as_json:
            self._write(step)
        elif step.total is not None:
            self._display(step)
            self._said = ""
        elif step.status != self._said:
            self._said = step.status
            self._display.close()
            say(step.status, sys.stderr)

    def close(self) -> None:
        """Leave the terminal tidy."""
        self._display.close()

    def _write(self, step: Progress) -> None:
        from olpipe.server.wire.progress import progress_body

        now = time.monotonic()
        is_between = step.total is not None and step.completed < step.total
        if is_between and step.status == self._said and now - self._written_s < _JSON_EVERY_S:
            return
        self._said, self._written_s = step.status, now
        click.echo(json.dumps(progress_body(step), ensure_ascii=False))
        sys.stdout.flush()


@contextmanager
def steps_shown(*, as_json: bool) -> Iterator[Steps]:
    """Yield what shows steps, and leave the terminal tidy at the end."""
    steps = Steps(as_json=as_json)
    try:
        yield steps
    finally:
        steps.close()
