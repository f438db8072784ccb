"""Show an answer as it comes: on a terminal for people, and anywhere else as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olpipe.cli.repl.terminal import Terminal, printable

if TYPE_CHECKING:
    from olpipe.cli.repl.wrapping import Wrapper
    from olpipe.generation import Chunk

THINKING, DONE_THINKING = "Thinking...\n", "...done thinking.\n\n"


class AnswerView:
    """Shows one answer. What the model thinks comes first.

    On a terminal, thoughts are grey, lines break between words, and control characters are shown and not obeyed.
    Anywhere else, stdout gets the answer byte by byte as it is, and stderr the thoughts.
    """

    def __init__(self, terminal: Terminal, *, wraps: bool, hides_thinking: bool) -> None:
        """Make a view.

        Args:
            terminal: Where the answer goes.
            wraps: Whether lines are broken between words.
            hides_thinking: Whether thoughts are left out.
        """
        self._terminal = terminal
        self._wraps = wraps and terminal.is_there
        self._hides_thinking = hides_thinking
        self._thinks = False
        self._wrapper: Wrapper | None = None
        self.is_empty = True

    def show(self, chunk: Chunk) -> None:
        """Show a piece of the answer."""
        if chunk.thinking and not self._hides_thinking:
            self._think(chunk.thinking)
        if chunk.text:
            self._end_thinking()
            self.is_empty = False
            self._write(chunk.text)

    def end(self) -> None:
        """Show what is held back."""
        self._end_thinking()
        self._end_piece()

    def _think(self, text: str) -> None:
        if not self._thinks and not text.strip():
            return
        if not self._thinks:
            self._thinks = True
            self._say(THINKING)
        self._write(text)

    def _end_thinking(self) -> None:
        if self._thinks:
            self._end_piece()
            self._say(f"\n{DONE_THINKING}")
            self._thinks = False

    def _write(self, text: str) -> None:
        if not self._terminal.is_there:
            click.echo(text, nl=False, err=self._thinks)
            return
        text = printable(text)
        if self._wraps:
            text = self._wrapped().feed(text)
        self._terminal.write(text, grey=self._thinks)

    def _say(self, text: str) -> None:
        """Write what frames the thoughts."""
        if self._terminal.is_there:
            self._terminal.write(text, grey=True)
        else:
            click.echo(text, nl=False, err=True)

    def _wrapped(self) -> Wrapper:
        if self._wrapper is None:
            from olpipe.cli.repl.wrapping import Wrapper

            self._wrapper = Wrapper(self._terminal.width)
        return self._wrapper

    def _end_piece(self) -> None:
        if self._wrapper is not None:
            self._terminal.write(self._wrapper.end(), grey=self._thinks)
            self._wrapper = None
