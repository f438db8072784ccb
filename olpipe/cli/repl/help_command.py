"""`/?` and `/help`: how to use a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from olpipe.cli import words

if TYPE_CHECKING:
    from olpipe.cli.repl.session import Session

_ALL = (
    ("/set", "Change a setting of this session"),
    ("/show", "Show what the model is"),
    ("/load <model>", "Go on with another model, in a new conversation"),
    ("/save <model>", "Keep this conversation and its settings as a model"),
    ("/clear", "Forget what was said"),
    ("/list [prefix]", "List the models on this machine"),
    ("/bye, /exit", "Leave"),
    ("/?, /help", "Show this; `/? set` and `/? show` say more"),
    ("/? shortcuts", "Show the keys for editing"),
)
_SET = (
    ("/set parameter ...", "Set a parameter; `/? parameter` lists them"),
    ("/set system <string>", "Set the system message"),
    ("/set history", "Keep what is typed for the next sessions"),
    ("/set nohistory", "Do not keep it"),
    ("/set wordwrap", "Break lines between words"),
    ("/set nowordwrap", "Break lines only where the answer does"),
    ("/set format json", "Make answers JSON; in place of `json`, a JSON schema or its file may stand"),
    ("/set noformat", "Let answers have any form"),
    ("/set verbose", "Show tokens and times after each answer"),
    ("/set quiet", "Show answers only"),
    ("/set think [level]", "Let the model think first: low, medium, high or max"),
    ("/set nothink", "Let it answer without thinking first"),
)
_SHOW = (
    ("/show info", "What the model is and can do"),
    ("/show license", "Its licence"),
    ("/show modelfile", "Its Modelfile"),
    ("/show parameters", "Its parameters, and those of this session"),
    ("/show system", "The system message"),
    ("/show template", "Its prompt template"),
)
_SHORTCUTS = (
    ("Ctrl + a", "Go to the beginning of the line (Home)"),
    ("Ctrl + e", "Go to the end of the line (End)"),
    ("Alt + b", "Go one word back"),
    ("Alt + f", "Go one word on"),
    ("Ctrl + k", "Delete what is behind the cursor"),
    ("Ctrl + u", "Delete what is before the cursor"),
    ("Ctrl + w", "Delete the word before the cursor"),
    ("Ctrl + r", "Search what was typed before"),
    ("Tab", "Complete a command, a model or a path"),
    ("Ctrl + j", "Begin a new line of the message"),
    ("Ctrl + g", "Write the message in an editor"),
    ("Ctrl + v", "Add the image in the clipboard"),
    ("Ctrl + l", "Clear the screen"),
    ("Ctrl + c", "Stop the answer, or give up the line"),
    ("Ctrl + d", "Leave (/bye)"),
)
_PARAMETERS = (
    ("/set parameter temperature <float>", "How freely tokens are chosen; 0 always takes the most probable one"),
    ("/set parameter top_k <int>", "Choose among so many of the most probable tokens"),
    ("/set parameter top_p <float>", "Choose among the most probable tokens that together have this probability"),
    ("/set parameter min_p <float>", "Leave out tokens with less than this share of the best one's probability"),
    ("/set parameter typical_p <float>", "Choose among the most typical tokens that together have this probability"),
    ("/set parameter repeat_penalty <float>", "Make repetitions less probable"),
    ("/set parameter presence_penalty <float>", "Make what was said before less probable"),
    ("/set parameter frequency_penalty <float>", "Make what was said often less probable"),
    ("/set parameter repeat_last_n <int>", "So many of the last tokens count as said before; -1 counts all"),
    ("/set parameter seed <int>", "Give the same answers again; -1 gives others each time"),
    ("/set parameter num_predict <int>", "Most tokens of an answer; -1 sets no limit"),
    ("/set parameter num_ctx <int>", "Most tokens of the conversation"),
    ("/set parameter num_thread <int>", "CPU threads for the model"),
    ("/set parameter image_tokens <int>", "Most tokens that one image becomes"),
    ("/set parameter stop <string> ...", "End an answer before these texts"),
)
_TOPICS: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "": ("Available commands:", _ALL),
    "set": ("Available commands:", _SET),
    "show": ("Available commands:", _SHOW),
    "shortcuts": ("Available keyboard shortcuts:", _SHORTCUTS),
    "parameter": ("Available parameters:", _PARAMETERS),
}
TOPICS = tuple(topic for topic in _TOPICS if topic)
_MULTILINE = 'Write """ to begin a message of several lines, and """ to end it.'


def show_help(session: Session, topic: str) -> None:
    """Say how to use a session, or one part of it, on stderr.

    Args:
        session: The session.
        topic: One of `TOPICS`; anything else shows the commands.
    """
    topic = topic.removeprefix("/")
    title, rows = _TOPICS.get(topic, _TOPICS[""])
    click.echo(f"{title}\n{words.table(rows, indent='  ', padding=2)}\n", err=True)
    if topic not in _TOPICS or not topic:
        click.echo(f"{_MULTILINE}\n", err=True)
