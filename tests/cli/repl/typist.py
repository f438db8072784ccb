"""Somebody who types into `olpipe run MODEL` on a real pseudo-terminal, and sees its screen."""

from __future__ import annotations

import os
import re
import shlex
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pexpect
import pyte

LONGEST_S = 120
SHELL = "shell> "
READY, ENTERED = "\x1b[?2004h", "\x1b[?2004l"
"""What the line editor writes when a prompt begins and when it ends."""

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SPINNER = re.compile(r"\r[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] |\r  \r")


def plain(text: str) -> str:
    """Return a text without control sequences, carriage returns and the spinner."""
    return _SPINNER.sub("", CODES.sub("", text)).replace("\r", "")


def end(child: Any) -> None:
    """End a program on a terminal. One that is killed may take a while to go, on a machine that has much to do."""
    try:
        child.close(force=True)
    except pexpect.ExceptionPexpect:
        child.ptyproc.delayafterterminate = LONGEST_S / 4
        child.close(force=True)


class Typist:
    """Types into a program on a terminal of its own. Use it as a context manager.

    Attributes:
        child: The program.
        screen: What the terminal shows, as far as its output was read.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        term: str = "xterm-256color",
        shell: bool = False,
        **given: str,
    ) -> None:
        """Start `olpipe run`.

        Args:
            *arguments: The words after `olpipe run`.
            columns: The width of the terminal.
            rows: Its height.
            term: What TERM says.
            shell: Whether it is started by a shell, which asks `SHELL` before and afterwards.
            **given: Further variables. OLPIPE_HOME has to be one of them.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OLPIPE_", "OLLAMA_"))}
        usual = {"TERM": term, "LANG": "C.UTF-8", "PS1": SHELL, "OLPIPE_REGISTRY": "off", "OLPIPE_SERVER": "off"}
        variables = {**kept, **usual, **given}
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)
        command = [sys.executable, "-P", "-m", "olpipe", "run", *arguments]
        program = ["bash", "--norc", "--noediting", "-i"] if shell else command
        self.child: Any = pexpect.spawn(
            program[0],
            program[1:],
            env=variables,
            dimensions=(rows, columns),
            encoding="utf-8",
            timeout=LONGEST_S,
        )
        self.child.delaybeforesend = None
        self.child.logfile_read = self
        self.mode = termios.tcgetattr(self.child.child_fd)
        if shell:
            self.child.expect_exact(SHELL)
            self.type(f"{shlex.join(command)}\r")

    def __enter__(self) -> Typist:
        return self

    def __exit__(self, *error: object) -> None:
        end(self.child)

    def write(self, text: str) -> None:
        """Show what the program wrote: pexpect calls this."""
        self._stream.feed(text)

    def flush(self) -> None:
        """Do nothing; pexpect calls this."""

    # --- typing -----------------------------------------------------------------------------------

    def wait(self) -> str:
        """Wait for the next prompt, and return what was written before it."""
        self.child.expect_exact(READY)
        return plain(self.child.before)

    def type(self, keys: str) -> None:
        """Press keys."""
        self.child.send(keys)

    def enter(self, text: str) -> str:
        """Type a text and Enter, wait for the next prompt, and return what was written between."""
        return plain(self.enter_raw(text))

    def enter_raw(self, text: str) -> str:
        """Do the same, and return what was written with its control sequences."""
        self.type(f"{text}\r")
        self.child.expect_exact(ENTERED)
        self.child.expect_exact(READY)
        return self.child.before

    def paste(self, text: str) -> None:
        """Paste a text, as terminals do it."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    def see(self, text: str) -> None:
        """Wait until the screen shows a text. What has come by then is no longer waited for."""
        self._until(text, lambda: any(text in line for line in self.screen.display))

    def see_last(self, text: str) -> None:
        """Wait until the last line of the screen begins with a text: the prompt, below what was told."""
        self._until(text, lambda: self.lines[-1:] != [] and self.lines[-1].startswith(text))

    def _until(self, text: str, is_there: Callable[[], bool]) -> None:
        until = time.monotonic() + LONGEST_S
        while not is_there():
            assert time.monotonic() < until, "\n".join([f"`{text}` is not on the screen:", *self.lines])
            with suppress(pexpect.TIMEOUT):
                self.child.read_nonblocking(4096, timeout=1)

    def leave(self, keys: str = "/bye\r") -> int:
        """Type something that ends the program, and return its exit code."""
        self.type(keys)
        self.child.expect(pexpect.EOF)
        self.child.wait()
        return self.child.exitstatus

    # --- seeing -----------------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """The lines of the screen that are not empty."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    @property
    def mode_now(self) -> list[Any]:
        """The mode of the terminal."""
        return termios.tcgetattr(self.child.child_fd)
