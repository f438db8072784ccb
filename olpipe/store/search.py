"""Find models by words: in the catalogue, among those that sources announce, on this machine, and on a hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from olpipe.errors import StoreError, nearest
from olpipe.interfaces import Backend, FoundModel
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.registry import Registry
from olpipe.store import catalog
from olpipe.store.library import Library
from olpipe.store.sources import offers
from olpipe.store.stored_model import StoredModel

ITS_OWN = "its own weights"
"""What the catalogue says of a model that was run as it is."""

_GB = 10**9
_LONGEST_LICENSE = 40


@dataclass(frozen=True, slots=True)
class Row:
    """A model that can be had, or is here.

    Attributes:
        name: What `olpipe pull` and `olpipe run` take.
        about: What it is.
        family: Its family, or its architecture.
        license: The name of its licence; empty where it is not known.
        capabilities: What it does.
        size_bytes: How much is downloaded, or lies here; None where that is not known.
        memory_bytes: How much memory it takes, as measured; None where that was not measured.
        seconds_a_photo: How long a photo takes, as measured; None where that was not measured.
        measured: How these two were measured.
        tested: What of it was run by the makers of the catalogue; empty where it is not in the catalogue.
        source: Where it comes from: what the catalogue says, or `hub`; empty for what is only here.
        is_here: Whether it is on this machine.
        obstacle: Why it cannot run here; empty where nothing speaks against it.
    """

    name: str
    about: str = ""
    family: str = ""
    license: str = ""
    capabilities: tuple[str, ...] = ()
    size_bytes: int | None = None
    memory_bytes: int | None = None
    seconds_a_photo: float | None = None
    measured: str = ""
    tested: str = ""
    source: str = ""
    is_here: bool = False
    obstacle: str = ""

    def fits(self, memory_bytes: int) -> bool:
        """Say whether its memory, or at least its files, have room in so many bytes. What is not known has room."""
        return (self.memory_bytes or self.size_bytes or 0) <= memory_bytes

    def has(self, words: Sequence[str]) -> bool:
        """Say whether each of some words is somewhere in it."""
        texts = (self.name, self.about, self.family, self.license, self.source, *self.capabilities)
        everything = "\n".join(texts).lower()
        return all(word.lower() in everything for word in words)


def known(library: Library, plugins: Plugins) -> list[Row]:
    """Return all models that are known without the network: the catalogue first, in its order."""
    rows = {entry.name: _of_entry(entry) for entry in catalog.entries()}
    announced = offers(plugins).names
    for name in announced:
        row = rows.get(name, Row(str(name), about="A plugin announces it"))
        rows[name] = replace(row, source=catalog.PLUGIN)
    for name, entry in [(entry.name, entry) for entry in catalog.entries()]:
        if entry.source == catalog.PLUGIN and name not in announced:
            rows[name] = replace(rows[name], obstacle="no installed plugin announces it")
    for model in library.stored():
        listed = catalog.entry_of(model.name)
        name = model.name if listed is None else listed.name
        rows[name] = _of_stored(model, rows.get(name), library)
    return list(rows.values())


def on_hubs(words: Sequence[str], plugins: Plugins, *, limit: int) -> list[Row]:
    """Ask every source that can be searched over the network. What can run here comes first.

    Raises:
        PullFailed: A source could not be asked.
        PluginError: A source failed.
    """
    sources = plugins.model_sources
    rows = []
    for scheme in sources.names():
        with sources.blaming(scheme):
            found = list(sources.get(scheme).search(words, limit))
        if not all(isinstance(model, FoundModel) for model in found):
            raise sources.fault(scheme, "`search` gave something else than models that it found")
        rows += [_of_found(model, plugins.backends) for model in found]
    return sorted(rows, key=lambda row: bool(row.obstacle))[:limit]


def close_to(words: Sequence[str], rows: Iterable[Row]) -> list[str]:
    """Return the names of models that some words may be a misspelling of, or whose family they may be."""
    close: dict[str, None] = {}
    by_word = dict(_searchable(rows))
    for word in words:
        close.update(dict.fromkeys(by_word[match] for match in nearest(word, by_word)))
    return list(close)[:3]


def _searchable(rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    for row in reversed(list(rows)):
        for text in (row.family, row.name.partition(":")[0], row.name):
            if text:
                yield text, row.name


def _of_entry(entry: catalog.Entry) -> Row:
    return Row(
        name=_shown(entry.name),
        about=entry.about,
        family=entry.family,
        license=entry.license,
        capabilities=entry.capabilities,
        size_bytes=_bytes(entry.download_gb),
        memory_bytes=_bytes(entry.memory_gb),
        seconds_a_photo=entry.seconds_a_photo,
        measured=entry.measured,
        tested=entry.tested,
        source=entry.source,
    )


def _of_stored(model: StoredModel, row: Row | None, library: Library) -> Row:
    """Return a model on this machine, with what the catalogue says of it."""
    config = model.config
    facts = " ".join(fact for fact in (config.model_type, config.file_type) if fact)
    row = row or Row(_shown(model.name), about=facts, family=config.model_family)
    return replace(
        row,
        name=_shown(model.name),
        license=row.license or _license(model, library),
        capabilities=config.capabilities,
        size_bytes=model.size_bytes,
        is_here=True,
        obstacle="",
    )


def _of_found(model: FoundModel, backends: Registry[Backend]) -> Row:
    row = Row(model.name, model.about, model.architecture, model.license, model.capabilities, source="hub")
    runs = [backend.architectures for backend in backends]
    is_known = any(known is None or model.architecture in known for known in runs)
    if model.architecture and not is_known:
        return replace(row, obstacle=f"no backend here runs the architecture `{model.architecture}`")
    return row


def _license(model: StoredModel, library: Library) -> str:
    """Return the first line of the first licence."""
    try:
        texts = library.texts(model, "license")
    except StoreError:
        return ""
    lines = [line.strip() for line in "\n".join(texts).splitlines() if line.strip()]
    return lines[0][:_LONGEST_LICENSE] if lines else ""


def _shown(name: ModelName) -> str:
    return str(name).removesuffix(":latest")


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else round(gigabytes * _GB)
