"""Write the reference pages of `docs/` from the code: `python .ci/reference.py` (`--check` writes nothing)."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from interface_pages import hooks
from manual_page import EXIT_CODES, manual_page

from olpipe import errors
from olpipe.cli.environment import variables
from olpipe.cli.group import ALIASES, COMMANDS
from olpipe.cli.main import cli
from olpipe.perception.prompt import UNSURE
from olpipe.settings import Settings
from olpipe.settings.ollama_variables import WITHOUT_EFFECT
from olpipe.store.catalog import entries

DOCS = Path(__file__).parents[1] / "docs"

CATALOGUE = "<!-- catalogue: written by .ci/reference.py -->"
CATALOGUE_END = "<!-- catalogue: end -->"

BOXES = """
    A model that sees is asked for boxes in the way that it was trained to say them. They become pixels of the photo,
    but they are no finer than its own unit, such as a thousandth of the photo's width. A model that was not trained to
    say boxes is not asked for any. Whatever needs a box is left out of the record then, in schemas of your own, too,
    and a warning names it.
    """

COPIES = """
    ## Copies

    A photo that looks exactly like one that was described gets its record, without work for the model. So does one that
    looks nearly the same [with `--near`](batch.md#photos-that-look-the-same). `copied_from` names the photo that was
    described.

    - `file`, `sha256` and `image` are those of the photo itself. Everything else is about the photo that was described:
      `usage` and scores, too. To count tokens, leave out the records that have `copied_from`.
    - Photos that look exactly the same have the same boxes. A record that was copied with `--near` has no boxes,
      because things are elsewhere in that photo. `objects`, and whatever else holds a box, is left out. So an answer to
      a schema of your own may lack what the schema requires.
    - Files with the same bytes share a record without `copied_from`.
    """

SCORES = f"""
    ## Scores and certainty

    A score is the perceiver's confidence in 0..1, rounded to two decimals. It does not say how often a name is right.
    [Captions](captions.md) says what the scores of `photo-mini` mean in photos. A model never writes scores. Where no
    perceiver looked at a photo, its record has neither scores nor `certainty`.

    | `certainty` | meaning |
    |---|---|
    | `sure` | at least one object or tag has a score of {UNSURE} or more |
    | `unsure` | all scores are lower, or only words were read in the photo |
    | `unrecognised` | there are no objects, no tags and no words |

    It is judged on everything that was found, even where the recipe's schema has no room for it, and before scores are
    rounded. Records of a schema of your own have it, too. A model that does not see writes no title, description and
    alt text of a photo that is `unrecognised`.

    These commands list the records that somebody should look at, and the names with a score below {UNSURE}:

    ```
    jq -c 'select(.certainty != "sure") | [.file, .certainty]' out/records.jsonl
    jq -c '[.file, ([.tags, .tag_scores] | transpose[] | select(.[1] and .[1] < {UNSURE})[0])]' out/records.jsonl
    ```

    This Python function returns the same records as the first command:

    ```python
    import json


    def doubtful(path):
        with open(path, encoding="utf-8") as lines:
            return [record for record in map(json.loads, lines) if record.get("certainty") != "sure"]
    ```

    `olpipe batch --min-score {UNSURE}` leaves out the tags and objects that have a lower score, before it is rounded.
    The sentences do not name them, either. Words that were read in the photo stay.

"""


WORDS = """
    ## Words in the photo

    A perceiver that reads, such as the plugin `ocr`, brings `text`. It has an item for each line of words. The words
    are as they are written: they are neither translated nor corrected. They are in the record whatever the model makes
    of them, and also where the recipe has a schema of its own. Where nothing was read, there is no `text`. This command
    lists what was read:

    ```
    jq -c 'select(.text) | [.file, [.text[].text]]' out/records.jsonl
    ```

    Anybody can write anything on a sign. So do not let the words in a photo decide what a program does.

    """


def main(arguments: list[str]) -> int:
    """Write every page, or name those that are not what they should be."""
    stale = []
    for name, write in PAGES.items():
        path, text = DOCS / name, "\n".join(write()).rstrip() + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if arguments != ["--check"]:
                path.write_text(text, encoding="utf-8")
    if arguments == ["--check"]:
        print(*(f"{name} is stale: run `python .ci/reference.py`" for name in stale), sep="\n", end="")
        return 1 if stale else 0
    return 0


def commands() -> Iterator[str]:
    """Write the page on commands and their options."""
    yield "# Commands\n"
    yield inspect.cleandoc(
        """
        stdout is data, stderr is talk. Every command knows `--help`, and `olpipe help COMMAND` shows the same page. It
        ends with the variables of the environment that matter for the command. [Settings](settings.md) explains them.
        `python -m olpipe` is the same as `olpipe`.

        A shell can complete commands, options and names: see [The shell](shell.md).

        | command | |
        |---|---|
        """
    )
    yield from (f"| [`olpipe {name}`](#olpipe-{name}) | {meaning} |" for name, (_, meaning) in COMMANDS.items())
    yield ""
    context = click.Context(cli, info_name="olpipe")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        aliases = [alias for alias, known in ALIASES.items() if known == name]
        yield f"## olpipe {name}\n"
        arguments = [_argument(given) for given in command.params if isinstance(given, click.Argument)]
        wanted = ["COMMAND", "[ARGUMENTS]..."] if isinstance(command, click.Group) else arguments
        yield f"```\n{' '.join(['olpipe', name, '[OPTIONS]', *wanted])}\n```\n"
        yield _fenced(inspect.cleandoc(command.help or "")) + "\n"
        if aliases:
            yield f"Also as `olpipe {aliases[0]}`.\n"
        options = [given for given in command.params if isinstance(given, click.Option)]
        yield from _table("option meaning", [(_option(given), _escaped(given.help or "")) for given in options])
        if names := ", ".join(f"`{variable}`" for variable in variables(name)):
            yield f"Environment: {names}.\n"
        if isinstance(command, click.Group):
            yield from _within(name, command)
    yield "## Exit codes\n"
    yield from _table("code meaning", [(str(code), meaning) for code, meaning in EXIT_CODES.items()])


def _within(name: str, group: click.Group) -> Iterator[str]:
    """Write the commands of a group."""
    for within, command in group.commands.items():
        arguments = [_argument(given) for given in command.params if isinstance(given, click.Argument)]
        yield f"### olpipe {name} {within}\n"
        yield f"```\n{' '.join(['olpipe', name, within, '[OPTIONS]', *arguments])}\n```\n"
        yield _fenced(inspect.cleandoc(command.help or "")) + "\n"
        options = [given for given in command.params if isinstance(given, click.Option)]
        yield from _table("option meaning", [(_option(given), _escaped(given.help or "")) for given in options])


def settings() -> Iterator[str]:
    """Write the page on settings."""
    yield "# Settings\n"
    yield inspect.cleandoc(
        """
        olpipe looks for each setting in the environment first, then in `config.toml` in olpipe's home. A setting that
        is in neither has its default. A list is written as a list in TOML, and with commas in the environment.

        ```toml
        # ~/.olpipe/config.toml
        threads = 4
        disable_plugins = ["other"]
        ```

        Plugins go by the names in the first column of `olpipe plugins`. The distribution that brings a plugin may have
        another name.

        A path that is empty counts as not set. A variable `OLPIPE_…` or an entry of `config.toml` that is no setting
        causes a warning with the nearest name. The file may have a section for each installed plugin. A number in a
        variable `OLLAMA_…` that cannot be read counts as not set, as in Ollama, and causes a warning.

        This command shows the value of each setting, and where it comes from:

        ```
        olpipe env
        ```
        """
    )
    yield ""
    rows = []
    for setting in fields(Settings):
        name, default = setting.metadata["env"], setting.default
        key = "" if setting.name == "home" else f"`{setting.metadata['key']}`"
        shown = "" if default is None or default == () else f"`{str(default).lower()}`"
        rows.append((f"`{name}`", key, shown, _escaped(setting.metadata["help"])))
    yield from _table("environment|config.toml|default|meaning", rows)
    yield "## Variables of Ollama's without effect\n"
    yield "`olpipe serve` explains each of these once, where it is set.\n"
    yield from _table("variable|why", [(f"`{name}`", _escaped(why)) for name, why in WITHOUT_EFFECT.items()])


def error_classes() -> Iterator[str]:
    """Write the page on errors."""
    yield "# Errors\n"
    codes = _table("code meaning", [(str(code), meaning) for code, meaning in EXIT_CODES.items()])
    text = inspect.cleandoc(
        """
        An error is one line that says what happened and with which value, and a hint that says what to do next:

        ```
        error: model `photo-mimi` is not on this machine
        hint: did you mean `photo-mini:latest`? run `olpipe pull photo-mini:latest`
        ```

        `OLPIPE_DEBUG=1` shows the traceback before it.

        ## Exit codes

        {codes}

        ## Classes

        All stand in `olpipe.errors`. The HTTP status is what a server answers with.
        """
    )
    yield text.replace("{codes}", "\n".join(codes).rstrip())
    yield ""
    rows = [
        (
            f"`{found.__name__}`",
            f"`{found.__base__.__name__}`",
            str(found.exit_code),
            str(found.http_status),
            _line(found),
        )
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, errors.OlpipeError) and found.__base__ is not None
    ]
    yield from _table("class|is a|exit code|HTTP|meaning", rows)


def record() -> Iterator[str]:
    """Write the page on records."""
    schema = json.loads((DOCS / "record.schema.json").read_text(encoding="utf-8"))
    yield "# Records\n"
    yield inspect.cleandoc(
        """
        `records.jsonl` has one line for each photo, and each line is a JSON object. Its JSON Schema is
        [record.schema.json](record.schema.json). The keys come in this order:
        """
    )
    yield ""
    rows = [(f"`{name}`", *_member(name, member, schema)) for name, member in schema["properties"].items()]
    yield from _table("key|in every record|type|meaning", rows)
    for name in ("image", "objects", "text", "usage"):
        yield f"## {name}\n"
        member = schema["properties"][name]
        member = member.get("items", member)
        yield from _table(
            "key|always|type|meaning",
            [(f"`{key}`", *_member(key, value, member)) for key, value in member["properties"].items()],
        )
    yield "Boxes are in integer pixels of the photo as people see it: upright, at full size, with the origin at the top"
    yield "left, as in COCO.\n"
    yield inspect.cleandoc(BOXES)
    yield ""
    yield inspect.cleandoc(WORDS)
    yield ""
    yield inspect.cleandoc(COPIES)
    yield ""
    yield inspect.cleandoc(SCORES)
    yield ""
    yield "A recipe with a schema of its own puts its whole answer under `data`. So none of its keys can be"
    yield "the same as a key of the record.\n"


def _fenced(text: str) -> str:
    """Put lines that click leaves as they are into a block of code."""
    return re.sub(r"^\x08\n((?:.+\n?)+)", lambda found: f"```\n{found[1].rstrip()}\n```\n", text, flags=re.MULTILINE)


def models() -> Iterator[str]:
    """Write the table of the catalogue into the page on models."""
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    before, begins, rest = page.partition(CATALOGUE)
    _, ends, after = rest.partition(CATALOGUE_END)
    yield before + begins
    where = {"library": "Ollama's library", "plugin": "a plugin"}
    rows = []
    for entry in entries():
        names = "<br>".join(f"`{name}`".replace(":latest", "") for name in (entry.name, *entry.aliases))
        known = (entry.download_gb, entry.memory_gb, entry.seconds_a_photo)
        figures = ["" if figure is None else f"{figure:g}" for figure in known]
        source = where.get(entry.source, f"`{entry.source}`")
        rows.append((names, source, _escaped(entry.about), entry.license, *figures, entry.tested))
    yield ""
    yield from _table("name|from|about|licence|download, GB|memory, GB|seconds a photo|what was run", rows)
    yield "An empty cell means that nobody has measured it. Downloads are as their sources say them. Memory and"
    yield "seconds are those of one photo at a time:\n"
    yield from (f"- `{entry.name}`: {entry.measured}.".replace(":latest", "") for entry in entries() if entry.measured)
    yield ""
    yield ends + after


def _argument(given: click.Argument) -> str:
    name = given.metavar or (given.name or "").upper() + ("..." if given.nargs == -1 else "")
    return name if given.required else f"[{name}]"


def _option(given: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in given.opts)
    value = "" if given.is_flag else f" `{given.metavar or given.type.name.split()[0].upper()}`".replace("|", "\\|")
    return names + value + (" (required)" if given.required else "")


def _line(thing: Any) -> str:
    return str(inspect.cleandoc(thing.__doc__ or "").splitlines()[0])


def _member(name: str, member: dict[str, Any], schema: dict[str, Any]) -> tuple[str, str, str]:
    reference = member.get("$ref", "").rpartition("/")[2]
    value = f"`{member['const']}`" if "const" in member else "string" if "enum" in member else "any"
    kind = "array" if reference else member.get("type", value)
    return "yes" if name in schema.get("required", ()) else "", kind, _escaped(member.get("description", ""))


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(heading: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Write a table with its heading's columns, or nothing where there is no row."""
    if not rows:
        return
    columns = heading.split("|" if "|" in heading else " ")
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    yield from ("| " + " | ".join(row) + " |" for row in rows)
    yield ""


PAGES = {
    "commands.md": commands,
    "settings.md": settings,
    "errors.md": error_classes,
    "hooks.md": hooks,
    "record.md": record,
    "models.md": models,
    "man/olpipe.1": manual_page,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
