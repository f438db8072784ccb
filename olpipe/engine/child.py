"""A runner's process, `python -m olpipe.engine.child`: frames in on stdin, frames out on stdout.

It ends when its stdin closes, so it never outlives the process that started it. It first waits for the runner to
finish its step; if that takes too long, it ends all the same.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

from olpipe import logs
from olpipe.engine import codec, frames
from olpipe.engine.protocol import (
    LOADING,
    Answer,
    Cancel,
    Embed,
    ErrorValue,
    Load,
    Loaded,
    Packet,
    Refused,
    Submit,
    Tokenize,
)
from olpipe.engine.worker import Close, Worker
from olpipe.errors import OlpipeError
from olpipe.guidance import limits
from olpipe.interfaces import Runner

GRACE_S = 2.0
"""How long a step may go on after the pipe was closed."""

logger = logging.getLogger(__name__)


def main() -> None:
    """Serve one model until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C, which the terminal sends to both
    commands, answers = take_pipes()
    load = receive(commands)
    if not isinstance(load, Load):
        return
    logs.configure(debug=load.settings.debug, verbosity=load.settings.verbosity)
    limits.configure(largest_schema=load.settings.max_schema, effort=load.settings.grammar_effort)

    def send(answer: Answer) -> None:
        frames.write(answers, codec.encode(answer))

    worker = Worker(send, f"the backend `{load.backend}`")
    threading.Thread(target=_listen, args=(commands, worker), name="listen", daemon=True).start()
    try:
        _serve(load, worker, send)
    except BrokenPipeError:
        logger.debug("the parent is gone")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # native libraries are known to hang or crash while the interpreter shuts down


def _serve(load: Load, worker: Worker, send: Callable[[Answer], None]) -> None:
    """Load the model, say so, and work."""
    try:
        runner = _load(load)
    except Exception as error:
        if not isinstance(error, OlpipeError):
            logger.exception("the model could not be loaded")
        send(Refused(LOADING, ErrorValue.of(error)))
        return
    try:
        send(Loaded(runner.info))
        worker.run(runner)
    finally:
        runner.close()


def _load(load: Load) -> Runner:
    from olpipe.plugins import Plugins

    backends = Plugins.load(load.settings).backends
    backend = backends.get(load.backend)
    with backends.blaming(load.backend):
        runner = backend.load(load.bundle, load.options)
        if not isinstance(runner, Runner):
            raise TypeError(f"`load` gave a {type(runner).__name__} where a `Runner` is expected")
        return runner


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return stdin and stdout for frames only. What anything prints from now on goes to stderr."""
    commands, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, answers


def receive(commands: BinaryIO) -> Packet | None:
    """Wait for the next packet; None when the pipe was closed."""
    frame = frames.read(commands)
    return None if frame is None else codec.decode(frame)


def _listen(commands: BinaryIO, worker: Worker) -> None:
    """Post the packets that come in. When the pipe closes, end this process, whatever it is doing."""
    try:
        while (packet := receive(commands)) is not None:
            if isinstance(packet, Submit | Embed | Tokenize | Cancel):
                worker.post(packet)
    except frames.FrameError as error:
        logger.error("the parent sent something that cannot be read: %s", error)
    worker.post(Close())
    time.sleep(GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    main()
