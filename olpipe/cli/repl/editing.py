"""Read what is typed with a line editor: keys, history, completion, pasted texts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.search import accept_search
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from olpipe.cli.repl.clipboard import Clipboard
from olpipe.cli.repl.completing import complete
from olpipe.cli.repl.editor import edit
from olpipe.cli.repl.history import FILE, HistoryFile
from olpipe.cli.repl.reading import MORE_PROMPT, PROMPT, Abandoned
from olpipe.cli.repl.telling import told
from olpipe.errors import OlpipeError

if TYPE_CHECKING:
    from olpipe.cli.repl.session import Session

PLACEHOLDER, MORE_PLACEHOLDER = "Send a message (/? for help)", 'End the message with """'
_STYLE = Style.from_dict({"placeholder": "ansibrightblack"})


class LineEditor:
    """Reads what is typed. It is closed at the end of the session."""

    def __init__(self, session: Session) -> None:
        """Make an editor for a session.

        Raises:
            OSError: There is no terminal that can be drawn on.
        """
        self._terminal = session.terminal
        self._clipboard = Clipboard()
        output = create_output(sys.stdout)
        if isinstance(output, Vt100_Output):
            output.enable_cpr = False  # asking a terminal where its cursor is may leave the answer in the prompt
        self._prompt: PromptSession[str] = PromptSession(
            complete_style=CompleteStyle.READLINE_LIKE,
            complete_while_typing=False,
            completer=_Completions(session),
            enable_suspend=True,
            history=_KeptHistory(session),
            key_bindings=_bindings(session, self._clipboard),
            output=output,
            prompt_continuation=_continuation,
            style=_STYLE,
        )

    def read(self, *, more: bool = False) -> str:
        """Return what was typed up to Enter."""
        prompt, placeholder = (MORE_PROMPT, MORE_PLACEHOLDER) if more else (PROMPT, PLACEHOLDER)
        try:
            return self._prompt.prompt(prompt, placeholder=partial(self._placeholder, placeholder))
        except KeyboardInterrupt:
            raise Abandoned(was_empty=not (more or self._prompt.default_buffer.text)) from None

    def close(self) -> None:
        """Remove what was made for the session."""
        self._clipboard.close()

    def _placeholder(self, text: str) -> StyleAndTextTuples:
        """Return the grey text of an empty line; nothing where it could be taken for something that was typed."""
        fits = len(PROMPT) + len(text) < self._terminal.width()
        is_shown = self._terminal.colours and fits and not self._prompt.app.is_done
        return [("class:placeholder", text)] if is_shown else []


def _continuation(width: int, line: int, wraps: int) -> str:
    """Return what stands before a further line of a message; nothing where the terminal wrapped a long one."""
    return "" if wraps else MORE_PROMPT


def _bindings(session: Session, clipboard: Clipboard) -> KeyBindings:
    """Return the keys that are not as in other line editors."""
    bindings = KeyBindings()

    @bindings.add("c-j")
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @bindings.add("enter", filter=is_searching)
    def take_found(event: KeyPressEvent) -> None:
        accept_search()
        event.current_buffer.validate_and_handle()

    @bindings.add("c-g", filter=~is_searching)
    def write_in_editor(event: KeyPressEvent) -> None:
        buffer = event.current_buffer

        def open_editor() -> None:
            text = edit(buffer.text, session.app.settings.editor)
            buffer.document = Document(text, len(text))

        _in_terminal(event, open_editor)

    @bindings.add("c-v")
    def add_image(event: KeyPressEvent) -> None:
        buffer = event.current_buffer

        def look() -> None:
            for path in clipboard.paths():
                buffer.insert_text(f'"{path}" ')

        _in_terminal(event, look)

    return bindings


def _in_terminal(event: KeyPressEvent, step: Callable[[], None]) -> None:
    """Do something above the prompt; an error is told there."""

    def safely() -> None:
        with told():
            step()

    async def above() -> None:
        await run_in_terminal(safely)

    event.app.create_background_task(above())


class _KeptHistory(History):
    """What was typed in this session and, unless that is switched off, in those before it."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._preferences = session.preferences
        self._file = HistoryFile(session.app.settings.home / FILE)

    def load_history_strings(self) -> Iterable[str]:
        """Return what is in the file, the newest first."""
        if not self._preferences.keeps_history:
            return []
        with suppress(OSError):  # without the file, there is the history of this session
            return reversed(self._file.read())
        return []

    def append_string(self, string: str) -> None:
        """Add an entry, unless that is switched off."""
        if self._preferences.keeps_history:
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Write an entry into the file."""
        with suppress(OSError):
            self._file.add(string)


class _Completions(Completer):
    """Offers what `complete` finds."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Yield what may stand in place of the word before the cursor."""
        names, suffixes = self._session.host.names, self._session.image_suffixes
        try:
            word, found = complete(document.current_line_before_cursor, names, suffixes)
        except OlpipeError:  # the server is gone: what is sent to it says so
            return []
        return [Completion(text, start_position=-len(word)) for text in found]
