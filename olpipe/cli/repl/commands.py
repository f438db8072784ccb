"""The commands of a session: what begins with a slash."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from olpipe.cli.prompt_images import take_images
from olpipe.cli.repl.help_command import show_help
from olpipe.cli.repl.set_command import change
from olpipe.cli.repl.show_command import show
from olpipe.errors import ModelNotFound, UsageError
from olpipe.store.manifests import nearest_models

if TYPE_CHECKING:
    from olpipe.cli.repl.session import Session

Command = Callable[["Session", str], None]

_NAME = re.compile(r"/[A-Za-z?]\w*(?=\s|$)")
_LOAD, _SAVE = "/load <modelname>", "/save <modelname>"


def obey(session: Session, text: str) -> bool:
    """Do what a command says.

    Args:
        session: The session.
        text: What was typed.

    Returns:
        Whether it was a command, or something that was meant to be one. If not, it is a message.

    Raises:
        OlpipeError: The command cannot be done.
    """
    name = _NAME.match(text)
    if name is not None and name.group() in COMMANDS:
        COMMANDS[name.group()](session, text[name.end() :].strip())
        return True
    if not text.startswith("/") or (name is None and not _begins_like_command(text)):
        return False
    if _begins_with_image(session, text):
        return False
    click.echo(f"Unknown command '{text.split()[0]}'. Type /? for help", err=True)
    return True


def _begins_like_command(text: str) -> bool:
    """Say whether a text is one line that begins with a slash and a letter. A pasted program is not."""
    return "\n" not in text and text[1:2].isalpha()


def _begins_with_image(session: Session, text: str) -> bool:
    """Say whether the first word is the path of an image, or of one that is missing, which the session says then."""
    suffixes = session.image_suffixes
    if text.split()[0].rstrip(".,;:!?").lower().endswith(tuple(suffixes)):
        return True
    try:
        _, paths = take_images(text, suffixes)
    except UsageError:
        return False
    return any(text.replace("\\", "").startswith(str(path).replace("\\", "")) for path in paths)  # it has spaces


def _load(session: Session, given: str) -> None:
    words = given.split()
    if len(words) != 1:
        click.echo(f"Usage:\n  {_LOAD}", err=True)
        return
    (name,) = words
    session.terminal.write(f"Loading model '{name}'\n")
    try:
        session.open(name)
    except ModelNotFound as error:
        close = nearest_models(name, session.host.names())
        offer = f"did you mean {' or '.join(f'`{match}`' for match in close)}? If not, " if close else ""
        hint = f"{offer}run `olpipe pull {name}` in another window, then `/load {name}` again"
        raise ModelNotFound(f"Couldn't find model '{name}'", hint=hint) from error


def _save(session: Session, given: str) -> None:
    words = given.split()
    if len(words) != 1:
        click.echo(f"Usage:\n  {_SAVE}", err=True)
        return
    (name,) = words
    session.save(name)
    session.terminal.write(f"Created new model '{name}'\n")


def _clear(session: Session, given: str) -> None:
    session.clear()
    session.terminal.write("Cleared session context\n")


def _list(session: Session, given: str) -> None:
    from olpipe.cli.models import list_models

    list_models.main(args=given.split()[:1], obj=session.app, standalone_mode=False)


def _leave(session: Session, given: str) -> None:
    session.is_over = True


COMMANDS: Mapping[str, Command] = {
    "/set": change,
    "/show": show,
    "/load": _load,
    "/save": _save,
    "/clear": _clear,
    "/list": _list,
    "/bye": _leave,
    "/exit": _leave,
    "/help": show_help,
    "/?": show_help,
}
