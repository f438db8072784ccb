"""`olpipe recipes`: which recipes there are, what they say, whether they can be used, and how to begin one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import words

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.describing.recipe_source import Placed

_WRONG = 1


@click.group()
def recipes() -> None:
    """List, show, check and begin recipes: what `olpipe batch` asks of every photo."""


@recipes.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")
@click.pass_obj
def list_recipes(app: App, as_json: bool) -> None:
    """List the recipes that have names: those that ship, and those in the folder that OLPIPE_RECIPES names."""
    from olpipe.describing.recipe_list import listed

    rows = listed(app.settings.recipes)
    if as_json:
        click.echo(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False))
        return
    table = [("NAME", "FROM", "MODEL", "ABOUT")]
    for row in rows:
        about = f"cannot be used: {row.error}" if row.error else row.about
        table.append((row.name, "olpipe" if row.ships else "you", row.model, about))
    click.echo(words.table(table, columns=words.screen_columns()))


@recipes.command()
@click.argument("recipe_name", metavar="NAME|FILE")
@click.option("--schema", "shows_schema", is_flag=True, help="Show the JSON Schema that answers are held to.")
@click.option("--prompt", "shows_prompt", is_flag=True, help="Show what a model is asked about a sample photo.")
@click.pass_obj
def show(app: App, recipe_name: str, shows_schema: bool, shows_prompt: bool) -> None:
    """Show a recipe's file.

    With `--prompt`, `[photo]` stands where the photo is, and a sample stands for what is known of it.
    """
    from olpipe.describing.recipe_file import find_recipe
    from olpipe.errors import UsageError

    if shows_schema and shows_prompt:
        raise UsageError("`--schema` and `--prompt` cannot be shown at once", hint="give one of them")
    source = find_recipe(recipe_name, app.settings.recipes)
    if shows_schema:
        click.echo(json.dumps(source.recipe().context().schema, indent=2, ensure_ascii=False))
    elif shows_prompt:
        from olpipe.describing.recipe_task import conversation

        for role, text in conversation(source.recipe(), app.plugins.tasks):
            click.echo(f"{role}:\n{text}\n" if role != "user" else f"{text}\n")
    else:
        click.echo(source.text, nl=not source.text.endswith("\n"))


@recipes.command()
@click.argument("recipe_names", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array of mistakes.")
@click.pass_obj
def check(app: App, recipe_names: tuple[str, ...], as_json: bool) -> None:
    """Check recipes, and name every mistake with its file, line and key.

    FILE may be the name of a recipe, too. The schema is compiled as for a run, and names of tasks, perceivers,
    backends and executors are looked up. No model is needed. The exit code is 1 if anything is wrong.
    """
    from olpipe.describing.recipe_check import wrong_in
    from olpipe.describing.recipe_file import find_recipe

    sources = [find_recipe(name, app.settings.recipes) for name in recipe_names]
    wrong = [placed for source in sources for placed in wrong_in(source, app.plugins)]
    if as_json:
        click.echo(json.dumps([_described(placed) for placed in wrong], indent=2, ensure_ascii=False))
    else:
        for source in sources:
            own = [placed for placed in wrong if placed.file == source.shown]
            click.echo("\n".join(map(_line, own)) if own else f"{source.shown}: no mistakes")
    if wrong:
        sys.exit(_WRONG)


@recipes.command()
@click.argument("name", metavar="NAME|FILE")
@click.option("--from", "recipe_name", default="photo-tags", metavar="NAME|FILE", help="The recipe to begin with.")
@click.pass_obj
def new(app: App, name: str, recipe_name: str) -> None:
    """Write the file of a new recipe, with comments that say what may stand in it.

    It goes to the folder that OLPIPE_RECIPES names, or else to the current folder. A file that is there is never
    replaced.
    """
    from olpipe.describing.recipe_file import find_recipe, is_path
    from olpipe.describing.recipe_start import begin

    folder = app.settings.recipes
    source = find_recipe(recipe_name, folder)
    has_name = not is_path(name) and folder is not None
    path = Path(name).expanduser() if is_path(name) else (folder or Path()) / f"{name}.toml"
    begin(path, source, base=recipe_name)
    click.echo(str(path))
    given = name if has_name else path if path.is_absolute() or len(path.parts) > 1 else f"./{path}"
    click.echo(f"use it with `olpipe batch PHOTOS -o OUTPUT --recipe {given}`", err=True)


def _line(placed: Placed) -> str:
    """Return a mistake as editors and other programs find it: `FILE:LINE: what is wrong`."""
    hint = f" ({placed.error.hint})" if placed.error.hint else ""
    return f"{placed.file}:{placed.line}: {placed.message}{hint}"


def _described(placed: Placed) -> dict[str, Any]:
    found = {"file": placed.file, "line": placed.line, "key": placed.key or None, "message": placed.error.message}
    return found | {"hint": placed.error.hint}
