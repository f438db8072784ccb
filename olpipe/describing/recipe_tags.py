"""The table `[tags]` of a recipe: what may stand in it, every mistake in it, and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from olpipe.errors import RecipeError, nearest
from olpipe.tagging.folding import key
from olpipe.tagging.schema import has_tags
from olpipe.tagging.settings import Mode, Tagging
from olpipe.tagging.vocabulary_file import examine, read_vocabulary

Place = tuple[str | int, ...]

TAGS: dict[str, type] = {"from": str, "mode": str, "stop": list, "synonyms": dict, "limit": int, "fold": bool}


def tagging_of(table: Mapping[str, Any], folder: Path) -> Tagging:
    """Return what a table says.

    Args:
        table: The table `[tags]`, in which nothing is wrong.
        folder: Where the file of the vocabulary is looked for, if its name is no whole path.

    Raises:
        RecipeError: The file of the vocabulary cannot be used. The message names the line.
    """
    source = table.get("from", "")
    return Tagging(
        vocabulary=read_vocabulary(folder / source, source) if source else None,
        mode=Mode(table.get("mode", Mode.CLOSED)),
        source=source,
        stop=tuple(table.get("stop", ())),
        synonyms=tuple((tag, tuple(words)) for tag, words in table.get("synonyms", {}).items()),
        limit=table.get("limit", 0),
        fold=table.get("fold", True),
    )


def tag_mistakes(table: Mapping[str, Any], schema: Any, folder: Path) -> Iterator[tuple[Place, RecipeError]]:
    """Yield everything in a table that cannot be used, each with its path below the table.

    Args:
        table: The table `[tags]`: those of its keys that are known and of the right type.
        schema: The recipe's schema. What is wrong with it is told elsewhere.
        folder: Where the file of the vocabulary is looked for.
    """
    if not has_tags(schema):
        hint = 'write `type = "array"` and `items = { type = "string" }` at `schema.properties.tags`, or leave it out'
        yield (), RecipeError("`tags` does nothing: the schema has no array of texts that is called `tags`", hint=hint)
    if "mode" in table and table["mode"] not in [*Mode]:
        close = nearest(table["mode"], [*Mode], limit=1)
        hint = f"did you mean `{close[0]}`?" if close else f"it is one of {', '.join(Mode)}"
        yield ("mode",), RecipeError(f"`tags.mode` cannot be `{table['mode']}`", hint=hint)
    elif "mode" in table and "from" not in table:
        hint = 'name the file of a vocabulary: `from = "terms.txt"`'
        yield ("mode",), RecipeError("`tags.mode` is about a vocabulary, and there is no `tags.from`", hint=hint)
    if table.get("limit", 1) < 1:
        yield ("limit",), RecipeError(f"`tags.limit` must be 1 or more, not `{table['limit']}`")
    yield from _wrong_synonyms(table.get("synonyms", {}))
    if "from" in table:
        for error in vocabulary_mistakes(table["from"], folder):
            yield ("from",), error


def vocabulary_mistakes(source: str, folder: Path) -> tuple[RecipeError, ...]:
    """Return what is wrong with the file of a vocabulary."""
    if not source.strip():
        return (RecipeError("`tags.from` must name a file"),)
    return examine(folder / source, source)[1]


def _wrong_synonyms(synonyms: Mapping[str, Any]) -> Iterator[tuple[Place, RecipeError]]:
    """Yield synonyms that are no texts, and those that two tags have."""
    owners: dict[str, str] = {}
    for tag, words in synonyms.items():
        named = f"tags.synonyms.{tag}"
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            hint = f'write it like `{tag} = ["another word"]`'
            yield ("synonyms", tag), RecipeError(f"`{named}` must be a list of texts, not `{words}`", hint=hint)
            continue
        for word in words:
            owner = owners.setdefault(key(word, english=False), tag)
            if owner != tag:
                message = f"`{named}`: `{word}` is a synonym of `{owner}`, too"
                yield ("synonyms", tag), RecipeError(message, hint="leave it at one of them")
