"""How much of the disk each model takes, and everything else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from olpipe.errors import ModelNotFound, StoreError
from olpipe.model import ModelName
from olpipe.store.disk import Counted, used
from olpipe.store.leftovers import DAMAGED
from olpipe.store.library import Library
from olpipe.store.manifests import ManifestFile
from olpipe.store.prune import Download, downloads


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What a model takes, in bytes of the disk.

    Attributes:
        name: Its name.
        own: What only it needs: `olpipe rm` frees so much.
        shared: What other models need, too.
        conversion: What was converted of it and laid out of it. A model with several names has this once.
    """

    name: ModelName
    own: int
    shared: int
    conversion: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.own + self.shared + self.conversion


@dataclass(frozen=True, slots=True)
class Use:
    """What a store takes, in bytes of the disk.

    Attributes:
        models: Its models, the largest first.
        downloads: What is not finished, the largest first.
        unneeded: Blobs that no model needs, and damaged ones that were moved aside.
        evidence: What perceivers found in photos.
        other: What was made of models that are gone, and the small files of the store and its cache.
        total: Everything. What several models share counts once.
    """

    models: tuple[ModelUse, ...]
    downloads: tuple[Download, ...]
    unneeded: int
    evidence: int
    other: int
    total: int


def usage(library: Library) -> Use:
    """Count what everything takes. A damaged model is left out."""
    found = []
    for name in library.names():
        try:
            found.append(library.manifests.read(name))
        except (ModelNotFound, StoreError):
            continue  # `olpipe store verify` says what is wrong
    names_of_blob = Counter(digest for model in found for digest in model.manifest.blob_digests)
    names_of_model = Counter(model.digest for model in found)
    counted = Counted()
    for digest in names_of_blob:  # what is laid out may be the same file under a second name
        counted.used(library.blobs.path(digest))
    made = {model.digest: sum(map(counted.used, library.made(model.digest))) for model in found}
    models = [_of_model(library, model, names_of_blob, made[model.digest]) for model in found]
    everything = Counted()
    total = everything.used(library.folder) + everything.used(library.cache)
    unfinished = downloads(library)
    waiting = library.unfinished.blobs()
    others = [digest for digest, _ in library.blobs.entries() if digest not in names_of_blob and digest not in waiting]
    unneeded = sum(used(library.blobs.path(digest)) for digest in others) + used(library.folder / DAMAGED)
    evidence = sum(used(path) for path in library.cache.glob("evidence*"))
    needed = sum(used(library.blobs.path(digest)) for digest in names_of_blob) + sum(
        made[digest] for digest in names_of_model
    )
    other = total - needed - sum(one.size_bytes for one in unfinished) - unneeded - evidence
    ordered = sorted(models, key=lambda model: (-model.total, model.name))
    return Use(tuple(ordered), tuple(unfinished), unneeded, evidence, max(other, 0), total)


def _of_model(library: Library, model: ManifestFile, names: Counter[str], made: int) -> ModelUse:
    own = shared = 0
    for digest in model.manifest.blob_digests:
        size = used(library.blobs.path(digest))
        if names[digest] == 1:
            own += size
        else:
            shared += size
    return ModelUse(model.name, own, shared, made)
