"""`/set`: change how the session asks and shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from olpipe.asking.options import LOADING, SAMPLING, STOP, WITHOUT_EFFECT, option_from_words
from olpipe.cli.repl.help_command import show_help
from olpipe.errors import SchemaError, UsageError, nearest

if TYPE_CHECKING:
    from olpipe.cli.repl.session import Session
    from olpipe.generation import Thinking

PARAMETERS = (*SAMPLING, STOP, *LOADING)
LEVELS: tuple[Thinking, ...] = ("low", "medium", "high", "max")
BAD_FORMAT = "Invalid or missing format. For 'json' mode use '/set format json'"


def change(session: Session, given: str) -> None:
    """Change one setting.

    Raises:
        OlpipeError: It cannot be what was asked for.
    """
    name, _, rest = given.partition(" ")
    if not name:
        show_help(session, "set")
    elif name in SETTINGS:
        SETTINGS[name](session, rest.strip())
    else:
        click.echo(f"Unknown command '/set {name}'. Type /? for help", err=True)


def _parameter(session: Session, given: str) -> None:
    words = _words(given)
    if len(words) < 2:
        show_help(session, "parameter")
        return
    name, *texts = words
    try:
        value = option_from_words(name, texts)
        if name == "num_ctx":
            session.check_context(value)
    except UsageError as error:
        close = nearest(name, PARAMETERS, limit=1) if name not in PARAMETERS else []
        hint = f"did you mean `{close[0]}`?" if close else None
        raise UsageError(f'Couldn\'t set parameter: "{error.message}"', hint=hint) from error
    session.preferences.parameters[name] = value
    _tell(session, f"Set parameter '{name}' to '{', '.join(texts)}'")
    if name in WITHOUT_EFFECT and session.host.is_olpipe:
        click.echo(f"note: `{name}` changes nothing here", err=True)


def _words(given: str) -> list[str]:
    """Cut a text into words. What is in quotes is one word."""
    try:
        return shlex.split(given, posix=True)
    except ValueError:  # a quote that is not closed
        return given.split()


def _system(session: Session, given: str) -> None:
    text = given[1:-1] if len(given) > 1 and given[0] == given[-1] == '"' else given
    if not given:
        show_help(session, "set")
    elif not text:
        session.preferences.system = None
        _tell(session, "Removed the system message of this session.")
    else:
        session.preferences.system = text
        _tell(session, "Set system message.")


def _format(session: Session, given: str) -> None:
    """Hold answers to JSON, or to a schema, which Ollama does not take here."""
    from olpipe.asking.wishes import holding_to
    from olpipe.cli.schema_option import schema_text

    if not given:
        click.echo(BAD_FORMAT, err=True)
        return
    if given == "json":
        text = given
    else:
        try:
            text = schema_text("format", given)
        except SchemaError as error:
            raise SchemaError(BAD_FORMAT, hint=f"{error.message}; {error.hint}") from error
    holding_to(text)
    session.preferences.format_ = text
    _tell(session, "Set format to 'json' mode." if given == "json" else "Set format to a JSON schema.")


def _no_format(session: Session, given: str) -> None:
    session.preferences.format_ = None
    _tell(session, "Disabled format.")


def _think(session: Session, given: str) -> None:
    if not session.model.thinks:
        raise UsageError(f"'{session.model.name}' does not support thinking", hint="`/show info` lists what it can do")
    level = next((level for level in LEVELS if level == given), None)
    if given and level is None:
        raise UsageError(f"there is no level `{given}` of thinking", hint=f"there are {', '.join(LEVELS)}")
    session.preferences.think = level or "on"
    _tell(session, f"Set 'think' mode to '{level}'." if level else "Set 'think' mode.")


def _no_think(session: Session, given: str) -> None:
    session.preferences.think = "off"
    _tell(session, "Set 'nothink' mode.")


def _mode(name: str, preference: str, value: bool) -> Callable[[Session, str], None]:
    """Return what switches one of the preferences on or off, and says by which name."""

    def switch(session: Session, given: str) -> None:
        setattr(session.preferences, preference, value)
        _tell(session, f"Set '{name}' mode.")

    return switch


def _tell(session: Session, text: str) -> None:
    session.terminal.write(f"{text}\n")


_MODES: Mapping[str, tuple[str, bool]] = {
    "history": ("keeps_history", True),
    "nohistory": ("keeps_history", False),
    "wordwrap": ("wraps", True),
    "nowordwrap": ("wraps", False),
    "verbose": ("verbose", True),
    "quiet": ("verbose", False),
}
SETTINGS: Mapping[str, Callable[[Session, str], None]] = {
    "parameter": _parameter,
    "system": _system,
    "format": _format,
    "noformat": _no_format,
    "think": _think,
    "nothink": _no_think,
    **{name: _mode(name, *switched) for name, switched in _MODES.items()},
}
