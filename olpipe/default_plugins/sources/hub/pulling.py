"""Pull a model from the hub: what tells whether it can be run, then everything else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from olpipe.default_plugins.sources.hub.beginnings import Beginnings
from olpipe.default_plugins.sources.hub.choosing import Part, choose
from olpipe.default_plugins.sources.hub.client import Hub
from olpipe.default_plugins.sources.hub.reference import HubReference
from olpipe.default_plugins.sources.hub.repository import Repository
from olpipe.default_plugins.sources.transfer.download import bring
from olpipe.default_plugins.sources.transfer.trouble import Trouble, trying
from olpipe.errors import DigestMismatch, ModelCorrupt, ModelUnsupported, PullFailed
from olpipe.interfaces import ModelStore, Progress, ProgressCallback
from olpipe.model import MEDIA_TYPE, Layer, ModelConfig, ModelName
from olpipe.store.manifest import MAX_BYTES, REVISION, SOURCE, Manifest, config_to_bytes
from olpipe.store.package_checks import CONFIG_NAME, check_package, read_config
from olpipe.store.packages import gguf_config, package_config

T = TypeVar("T")

_GGUF_KINDS = (f"{MEDIA_TYPE}model", f"{MEDIA_TYPE}projector")


def pull_model(hub: Hub, wanted: HubReference, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
    """Bring a model into a store under a name.

    Raises:
        Trouble: The hub does not deliver it.
        Transient: It has failed too often.
        PullFailed: Its files do not belong together.
        ModelCorrupt: It is damaged.
        ModelUnsupported: No backend can run it.
        DigestMismatch: Something that came is not what the hub says it is.
    """
    progress(Progress("pulling manifest"))
    repository = trying(partial(hub.repository, wanted), hub.options.patience, progress, reached=False)
    choice = choose(repository, wanted.variant)
    folder = store.partial(f"hf:{wanted.text}@{repository.commit}")  # one process at a time pulls what has this text
    pull = _Pull(hub, repository, store, progress, folder)
    try:
        # 1. What the model is made of, and what it is
        layers = [*pull.layers(choice.parts), *pull.further_licence(choice.parts)]
        config = pull.package_config() if choice.is_package else pull.gguf_config(layers)
        config_layer = store.add_bytes(config_to_bytes(config, layers))
        source = f"{hub.options.endpoint}/{repository.id}"
        manifest = Manifest(config_layer, tuple(layers), {SOURCE: source, REVISION: repository.commit}).to_bytes()
        # 2. Whether it can be run, as far as that can be told by now
        store.check_manifest(name, manifest, pull.shown)
        # 3. Everything else
        pull.bring_large()
        progress(Progress("writing manifest"))
        store.commit_manifest(name, manifest)
    except (DigestMismatch, ModelCorrupt, ModelUnsupported):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


class _Pull:
    """The pull of one model.

    Attributes:
        shown: By their digests, the files that tell what the model is, or their beginnings.
    """

    def __init__(
        self, hub: Hub, repository: Repository, store: ModelStore, progress: ProgressCallback, folder: Path
    ) -> None:
        self._hub = hub
        self._repository = repository
        self._store = store
        self._progress = progress
        self._folder = folder
        self._beginnings = Beginnings(hub, folder, progress)
        self._large: list[Layer] = []
        self.shown: dict[str, Path] = {}

    def layers(self, parts: tuple[Part, ...]) -> list[Layer]:
        """Return the layers of a model. Its small files are in the store then, and its headers are here."""
        found = []
        for part in parts:
            file = self._trying(partial(self._hub.described, self._repository, part.file))
            is_telling = part.name == CONFIG_NAME
            if not file.sha256 or is_telling:
                layer = self._small(replace(part, file=file))
            else:
                layer = self._hub.layer(self._repository, file)
                self._large.append(layer)
                if file.path.lower().endswith(".gguf"):
                    self.shown[layer.digest] = self._beginnings.fetch(layer, file.base_name)
            found.append(replace(layer, media_type=MEDIA_TYPE + part.kind, name=part.name))
        return found

    def further_licence(self, parts: tuple[Part, ...]) -> list[Layer]:
        """Return a layer that tells what the card calls the licence, where the repository has no text of it."""
        if not self._repository.license or any(part.kind == "license" for part in parts):
            return []
        text = f"The card of {self._repository.id} on the hub says that its licence is {self._repository.license}."
        if self._repository.license_link:
            text += f" It is at {self._repository.license_link}."
        return [replace(self._store.add_bytes(f"{text}\n".encode()), media_type=f"{MEDIA_TYPE}license")]

    def gguf_config(self, layers: list[Layer]) -> ModelConfig:
        """Describe a GGUF model by the headers of its files."""
        by_kind = {layer.media_type: self.shown[layer.digest] for layer in layers if layer.media_type in _GGUF_KINDS}
        return gguf_config(by_kind[_GGUF_KINDS[0]], by_kind.get(_GGUF_KINDS[1]))

    def package_config(self) -> ModelConfig:
        """Check and describe a package by its configuration."""
        try:
            check_package(self._folder)
            return package_config(read_config(self._folder))
        except ValueError as error:
            message = f"`{self._repository.id}` has no package that can be used: {error}"
            raise PullFailed(message) from error

    def bring_large(self) -> None:
        """Bring the large files. What is here of them does not come twice."""
        for layer in {layer.digest: layer for layer in self._large}.values():
            first = partial(self._beginnings.give, layer) if layer.digest in self.shown else None
            bring(self._hub, layer, self._store, self._progress, first=first)

    def _small(self, part: Part) -> Layer:
        """Bring a small file, and show it where it tells what the model is."""
        file = part.file
        if part.name == CONFIG_NAME and (file.size or 0) > MAX_BYTES:
            raise Trouble(f"`{file.path}` of `{self._repository.id}` has {file.size} bytes, which is too many")
        data = self._trying(partial(self._hub.read, self._repository, file))
        layer = self._store.add_bytes(data)
        if part.name == CONFIG_NAME or part.name.endswith(".gguf"):
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / (CONFIG_NAME if part.name == CONFIG_NAME else file.base_name)
            path.write_bytes(data)
            self.shown[layer.digest] = path
        return layer

    def _trying(self, action: Callable[[], T]) -> T:
        return trying(action, self._hub.options.patience, self._progress)
