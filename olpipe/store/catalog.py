"""The catalogue: models with short names that are known to fit, and what is known of each.

`olpipe/catalog.toml` is the catalogue. Every figure in it was measured, or published with the model's files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from olpipe.model import ModelName
from olpipe.store.sources import Offers, Origin

LIBRARY = "library"
"""Where a model comes from whose name is that of Ollama's library: nothing leads such a name elsewhere."""

PLUGIN = "plugin"
"""Where a model comes from that an installed plugin announces."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A model in the catalogue.

    Attributes:
        name: Its short name.
        source: What `olpipe pull` takes instead, or `LIBRARY` or `PLUGIN`.
        about: What it is, in one sentence.
        family: Its family.
        license: The name of its licence.
        capabilities: What it does, by the names in `CAPABILITIES`.
        tested: What of it was run: its own weights, or others of the same kind.
        aliases: Further names.
        download_gb: How much is downloaded, as its source says it; None where that is not known.
        memory_gb: How much memory it takes with one photo, as measured; None where that was not measured.
        seconds_a_photo: How long a photo takes from start to end, as measured; None where that was not measured.
        measured: How these two were measured.
    """

    name: ModelName
    source: str
    about: str
    family: str
    license: str
    capabilities: tuple[str, ...]
    tested: str
    aliases: tuple[ModelName, ...] = ()
    download_gb: float | None = None
    memory_gb: float | None = None
    seconds_a_photo: float | None = None
    measured: str = ""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Entry:
        """Read an entry of the file."""
        names = {"name": ModelName.parse(values["name"]), "capabilities": tuple(values["capabilities"])}
        aliases = tuple(ModelName.parse(alias) for alias in values.get("aliases", ()))
        return cls(**(dict(values) | names | {"aliases": aliases}))

    @property
    def needs_gb(self) -> float | None:
        """How much memory it takes at least: as measured, or as much as its files have."""
        return self.memory_gb or self.download_gb


@cache
def entries() -> tuple[Entry, ...]:
    """Return the whole catalogue, in its order."""
    text = resources.files("olpipe").joinpath("catalog.toml").read_text(encoding="utf-8")
    return tuple(Entry.read(values) for values in tomllib.loads(text)["models"])


def entry_of(name: ModelName) -> Entry | None:
    """Return the entry with a name."""
    return next((entry for entry in entries() if name == entry.name or name in entry.aliases), None)


def offer(name: ModelName | None, text: str, offered: Offers) -> tuple[Origin, ModelName] | None:
    """Return where the catalogue says that a name can be pulled from, and the name.

    Args:
        name: The name; None where the text is none.
        text: The name as it was written. One with a host or a namespace is no short name.
        offered: What the sources offer.
    """
    entry = entry_of(name) if name is not None and "/" not in text else None
    if name is None or entry is None or entry.source in (LIBRARY, PLUGIN):
        return None
    found = offered.origin_of(ModelName.parse(entry.source), entry.source)
    return None if found is None else (found[0], name)


def short_names(offered: Offers) -> list[ModelName]:
    """Return the names that the catalogue leads to a source, where there is that source."""
    return [entry.name for entry in entries() if offer(entry.name, str(entry.name), offered) is not None]
