"""Read, obey or ask, and go on: no error ends a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

from olpipe.cli.hosts.choosing import hosting
from olpipe.cli.progress import shown
from olpipe.cli.repl.commands import obey
from olpipe.cli.repl.preferences import Preferences
from olpipe.cli.repl.reading import Abandoned, LineReader, Reader, read_entry
from olpipe.cli.repl.session import Session
from olpipe.cli.repl.spinner import Waiting
from olpipe.cli.repl.telling import told
from olpipe.cli.repl.terminal import Terminal

if TYPE_CHECKING:
    from olpipe.cli.app import App

HOW_TO_LEAVE = "Use Ctrl + d or /bye to exit.\n"


def converse(app: App, model: str, preferences: Preferences) -> None:
    """Talk with a model until the user leaves.

    Args:
        app: What all commands share.
        model: The model's name. If it is not here, it is pulled.
        preferences: How to ask and show at first.

    Raises:
        OlpipeError: The model is not here and cannot be pulled, or cannot be loaded.
        KeyboardInterrupt: Pulling or loading it took the user too long.
    """
    terminal = Terminal()
    with (
        terminal.unechoed() if terminal.moves else nullcontext(),
        shown(f"`{model}` is not built yet: this happens once") as display,
    ):
        waiting = Waiting(terminal, display)
        with hosting(app, waiting) as host:
            session = Session(app, host, terminal, preferences, waiting)
            session.open(model, pulls=True)
            with _reader(session) as reader:
                while _goes_on(session, reader):
                    pass


def _goes_on(session: Session, reader: Reader) -> bool:
    """Read something and do what it asks for. Returns False where the user leaves."""
    try:
        entry = read_entry(reader)
        with told():
            if entry.text and (entry.is_quoted or not obey(session, entry.text)):
                session.ask(entry.text)
    except EOFError:
        return False
    except Abandoned as abandoned:
        session.terminal.write(HOW_TO_LEAVE if abandoned.was_empty else "")
    except KeyboardInterrupt:
        session.terminal.write("\n")
    return not session.is_over


@contextmanager
def _reader(session: Session) -> Iterator[Reader]:
    """Yield what reads from this terminal."""
    if not session.terminal.moves:
        yield LineReader(session.terminal)
        return
    from olpipe.cli.repl.editing import LineEditor

    with closing(LineEditor(session)) as editor:
        yield editor
