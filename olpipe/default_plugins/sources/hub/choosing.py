"""Choose which files of a repository make the model that was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from olpipe.convert.architectures import PROJECTOR_FILE
from olpipe.default_plugins.sources.hub import packages
from olpipe.default_plugins.sources.hub.quantisation import (
    listed,
    quantisation,
    rank,
    rank_of_projector,
    same,
    shards,
    without_quantisation,
)
from olpipe.default_plugins.sources.hub.repository import Repository, RepositoryFile
from olpipe.default_plugins.sources.transfer.trouble import NotThere, Trouble
from olpipe.store.manifest import MAX_BYTES
from olpipe.store.packages import GGUF_LAYER

_GGUF = ".gguf"
_PROJECTOR, _CALIBRATION = "mmproj", "imatrix"
_LICENSE = re.compile(r"(licen[cs]e|copying)([._-].*)?", re.IGNORECASE)
_CARD = "README.md"
_OLLAMA_TEXTS = ("template", "system", "params")
"""Files of a repository that Ollama takes into a model. Source: https://huggingface.co/docs/hub/ollama"""

_MOST_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a model.

    Attributes:
        file: The file.
        kind: What its layer is: `model`, `projector`, `license`, `card`, …
        name: Its path in the model's folder; empty for a text.
    """

    file: RepositoryFile
    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The files that make a model.

    Attributes:
        parts: The files: of a GGUF model, the text model first and then its projector.
        is_package: Whether it is a package of ONNX Runtime GenAI.
    """

    parts: tuple[Part, ...]
    is_package: bool


def choose(repository: Repository, variant: str) -> Choice:
    """Choose the files of a model.

    Args:
        repository: What there is.
        variant: What was asked for; empty for the usual one.

    Raises:
        NotThere: There is no such model.
        Trouble: It is not clear what is meant, or it cannot be used.
    """
    every = [file for file in repository.files if file.path.lower().endswith(_GGUF)]
    models = [file for file in every if not re.search(f"{_PROJECTOR}|{_CALIBRATION}", file.base_name.lower())]
    folders = packages.folders(repository)
    if folders and (not models or (variant and not _fitting(models, variant))):
        folder = packages.choose(repository, folders, variant)
        parts = [Part(file, "model", name) for name, file in packages.files_in(repository, folder).items()]
        return Choice((*parts, *_texts(repository, folder)), is_package=True)
    if not models:
        what = "only a projector" if every else f"neither a {_GGUF} file nor a package of ONNX Runtime GenAI"
        hint = f"`olpipe search --hub {repository.id.rpartition('/')[2]}` finds repositories that have such files"
        raise NotThere(f"`{repository.id}` has {what}", hint=hint)
    model = _choose_model(repository, models, variant)
    projectors = [file for file in every if _PROJECTOR in file.base_name.lower()]
    projector = _choose_projector(model, projectors)
    parts = [Part(model, "model", GGUF_LAYER)]
    parts += [Part(projector, "projector", PROJECTOR_FILE)] if projector is not None else []
    return Choice((*parts, *_texts(repository, model.folder, _OLLAMA_TEXTS)), is_package=False)


def _choose_model(repository: Repository, models: Sequence[RepositoryFile], variant: str) -> RepositoryFile:
    found = _fitting(models, variant) if variant else list(models)
    kinds = [quantisation(file.path) for file in models]
    if not found:
        raise NotThere(f"`{repository.id}` has no `{variant}`", hint=f"it has {_what(models, kinds)}")
    whole = [file for file in found if shards(file.path) == 1]
    if not whole:
        cut = f"`{found[0].path}` of `{repository.id}` is one of {shards(found[0].path)} parts of a model"
        one = [quantisation(file.path) for file in models if shards(file.path) == 1]
        hint = f"these are whole: {listed(one)}" if one else "pull a smaller model, or one that is whole"
        raise Trouble(f"{cut}, and such parts are not joined", hint=hint)
    best = min(rank(quantisation(file.path)) for file in whole)
    whole = [file for file in whole if rank(quantisation(file.path)) == best]
    if len(whole) > 1:
        several = ", ".join(f"`:{file.base_name}`" for file in whole[:_MOST_SHOWN])
        message = f"`{repository.id}` has {len(whole)} models{f' of the kind `{variant}`' if variant else ''}"
        raise Trouble(message, hint=f"choose one: {several}")
    return whole[0]


def _fitting(models: Sequence[RepositoryFile], variant: str) -> list[RepositoryFile]:
    """Return the files that a variant names: by their names, or else by their quantisation."""
    wanted = variant.lower().removesuffix(_GGUF) + _GGUF
    if named := [file for file in models if file.path.lower() == wanted]:
        return named
    if named := [file for file in models if file.base_name.lower() == wanted]:
        return named
    return [file for file in models if same(quantisation(file.path), variant)]


def _what(models: Sequence[RepositoryFile], kinds: Sequence[str]) -> str:
    """Return what there is, for an error."""
    if all(kinds):
        return listed(kinds)
    return ", ".join(f"`:{file.base_name}`" for file in models[:_MOST_SHOWN])


def _choose_projector(model: RepositoryFile, projectors: Sequence[RepositoryFile]) -> RepositoryFile | None:
    """Return the projector that belongs to a model: beside it, with its name, in halves, as far as there is one."""
    name = without_quantisation(model.path)

    def distance(file: RepositoryFile) -> tuple[bool, bool, int, str]:
        kind = rank_of_projector(quantisation(file.path))
        return file.folder != model.folder, name not in file.base_name.lower(), kind, file.path

    return min(projectors, key=distance, default=None)


def _texts(repository: Repository, folder: str, further: Sequence[str] = ()) -> list[Part]:
    """Return the licences and the card beside a model or at the top, and further texts at the top."""
    found: list[Part] = []
    for file in repository.files:
        if (file.size or 0) > MAX_BYTES or file.sha256 or file.folder not in ("", folder):
            continue
        if _LICENSE.fullmatch(file.base_name):
            found.append(Part(file, "license"))
        elif file.path == _CARD:
            found.append(Part(file, "card"))
        elif file.path in further:
            found.append(Part(file, file.path))
    return found
