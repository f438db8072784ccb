"""A process that builds one model, `python -m olpipe.engine.builder`, and says how far it is.

After each step it waits for permission to go on. So whoever started it can cancel the build, by closing the pipe, and
what was half made is removed.
"""

from __future__ import annotations

import os
import signal
import sys

from olpipe import logs
from olpipe.engine import codec, frames
from olpipe.engine.child import receive, take_pipes
from olpipe.engine.protocol import LOADING, Build, BuildAnswer, Built, ErrorValue, GoOn, Reached, Refused
from olpipe.interfaces import Progress, ProgressCallback


class _Cancelled(BaseException):
    """The pipe was closed. It is not an `Exception`, so that a backend's `except Exception` lets it through."""


def main() -> None:
    """Build one model."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C, which the terminal sends to both
    commands, answers = take_pipes()
    command = receive(commands)
    if not isinstance(command, Build):
        return
    logs.configure(debug=command.settings.debug)

    def send(answer: BuildAnswer) -> None:
        try:
            frames.write(answers, codec.encode(answer))
        except BrokenPipeError as error:
            raise _Cancelled from error

    def tell(progress: Progress) -> None:
        send(Reached(progress))
        if not isinstance(receive(commands), GoOn):
            raise _Cancelled

    try:
        try:
            _build(command, tell)
        except Exception as error:  # noqa: BLE001 - it is sent to whoever asked
            send(Refused(LOADING, ErrorValue.of(error, f"the backend `{command.backend}`")))
        else:
            send(Built())
    except _Cancelled:
        pass
    sys.stderr.flush()
    os._exit(0)  # as in `olpipe.engine.child`


def _build(command: Build, tell: ProgressCallback) -> None:
    from olpipe.plugins import Plugins
    from olpipe.store.writing import writing

    backends = Plugins.load(command.settings).backends
    backend = backends.get(command.backend)
    with backends.blaming(command.backend), writing(command.bundle.cache):
        backend.build(command.bundle, tell)


if __name__ == "__main__":
    main()
