"""Begin a recipe: the file of another one under a new name, with comments that say what else may stand in it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from olpipe.describing.recipe_lines import line_of
from olpipe.describing.recipe_source import RecipeSource
from olpipe.describing.templates import FIELDS
from olpipe.errors import OutputUnavailable, UsageError

_NAME = re.compile(r"\w[\w.-]*")

_HEAD = """\
# {name}: write here in a line or two what this recipe is for.
#
# It began as a copy of `{base}`. These commands help:
#
#   olpipe recipes check {file}            names every mistake with its line
#   olpipe recipes show {file} --prompt    what a model is asked
#   olpipe batch PHOTOS -o OUTPUT --recipe {file} --plan    tries it on eight photos, and writes nothing
#
# What may stand in the prompt:
{fields}
#
# Keys that may stand above the first [table]:
#   description = "…"              the line that `olpipe recipes list` shows
#   language = "de"                the language of tags and texts
#   perceivers = ["photo-mini"]    who looks at the photo besides the model
#   min_score = 0.6                leave out tags and boxes that perceivers are less sure of
#   backend = "…"                  what runs the model
#   image_tokens = 280             how finely a model that sees looks at a photo
#   sinks = ["jsonl", "csv"]       where records go
#
# A table [tags] at the end makes one tag of `Dog` and `dogs`, and leaves out words like `photo`:
#   stop = ["indoors"]             tags that are left out, too
#   limit = 8                      most tags of a photo
#   from = "terms.csv"             a vocabulary of your own; mode = "closed", "prefer" or "map"
#
# Tables [[stages]] ask several questions about each photo, in place of prompt and [schema]. Each has a name, a prompt
# and a schema, and later prompts may name what earlier stages answered, like {{facts.colours}}.
#
# task = "photo" knows tags, title, description, alt and objects. For properties of your own use task = "data": then the
# whole answer stands under `data` in a record. The model writes the properties in the order of the schema.
"""


def begin(path: Path, source: RecipeSource, *, base: str) -> None:
    """Write the file of a new recipe.

    Args:
        path: The file.
        source: The recipe to begin with.
        base: What it is called.

    Raises:
        UsageError: The name cannot be one, or there is such a file already.
        RecipeError: The recipe to begin with cannot be used.
        OutputUnavailable: The file cannot be written.
    """
    if not _NAME.fullmatch(path.stem):
        raise UsageError(f"`{path.stem}` cannot be the name of a recipe", hint="use letters, digits, `-` and `_`")
    if path.suffix != ".toml":
        raise UsageError(f"`{path}` is not the name of a recipe's file", hint="let it end in `.toml`")
    source.recipe()
    text = begun(source, path.stem, base=base, file=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        hint = "give another name; no file is replaced"
        raise UsageError(f"`{path}` is there already", hint=hint) from error
    except OSError as error:
        raise OutputUnavailable(f"`{path}` cannot be written: {error.strerror or os.strerror(0)}") from error


def begun(source: RecipeSource, name: str, *, base: str, file: str) -> str:
    """Return the text of a new recipe: that of another one, with another name and other comments at its beginning."""
    lines = source.text.split("\n")
    lines[line_of(source.text, ("name",)) - 1] = f"name = {json.dumps(name)}"
    while lines and (lines[0].startswith("#") or not lines[0].strip()):
        del lines[0]
    fields = "\n".join(f"#   {{{field}}}{' ' * (12 - len(field))} {meaning}" for field, meaning in FIELDS.items())
    return _HEAD.format(name=name, base=base, file=file, fields=fields) + "\n" + "\n".join(lines)
