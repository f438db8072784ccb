"""The names of the networks' classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from olpipe_photo_mini.weights import DATA

Indices = Mapping[str, npt.NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class ClassifierLabels:
    """The 1000 classes of ImageNet, grouped in several ways.

    Single classes are often too fine to be sure of: for a photo of a cat, a tabby, a lynx and other classes each get a
    small probability. Their sum says that it is a cat.

    Attributes:
        names: Indices of classes by the classes' own name. A few names stand for two classes.
        kinds: Indices of classes by the kind of thing, where there is a common word for it: `cat`.
        places: Indices of classes by the place where such things are found: a washbasin in a bathroom.
        families: Indices of classes by a wider kind: a missile and a space shuttle are a `rocket`.
        groups: Indices of classes by the widest kind: `animal`, `vehicle`, `building`.
    """

    names: Indices
    kinds: Indices
    places: Indices
    families: Indices
    groups: Indices

    @classmethod
    def read(cls) -> ClassifierLabels:
        """Read the table of classes. It has a line for each class, in their order: name, kind, place, family, group."""
        lines = (DATA / "imagenet.tsv").read_text(encoding="utf-8").splitlines()[1:]
        rows = [([*line.split("\t"), "", "", "", ""])[:5] for line in lines]
        names, kinds, places, families, groups = (_indices(column) for column in zip(*rows, strict=True))
        return cls(names, kinds, places, families, groups)

    def members(self, label: str) -> frozenset[int]:
        """Return the classes that a name means, whether as a class's own name, a kind or a family; maybe none."""
        tables = (self.names, self.kinds, self.families)
        return frozenset(index for table in tables for index in table.get(label, np.array([], np.intp)).tolist())

    def context(self, label: str) -> frozenset[int]:
        """Return the classes of all groups and places that some class of this name belongs to, and its own classes."""
        own = self.members(label)
        around = (set(indices.tolist()) for table in (self.groups, self.places) for indices in table.values())
        return own.union(*(indices for indices in around if own & indices))


def detector_labels() -> tuple[str, ...]:
    """Return the names of the 80 classes of COCO, in their order."""
    return tuple((DATA / "coco.txt").read_text(encoding="utf-8").splitlines())


def sums(probabilities: npt.NDArray[np.floating], labels: Indices) -> dict[str, float]:
    """Return the probability of each label: the sum over its classes.

    Args:
        probabilities: (classes,).
        labels: Indices of classes by label.
    """
    return {label: float(probabilities[indices].sum()) for label, indices in labels.items()}


def _indices(column: Sequence[str]) -> Indices:
    found: dict[str, list[int]] = {}
    for index, label in enumerate(column):
        if label:
            found.setdefault(label, []).append(index)
    return {label: np.array(indices) for label, indices in found.items()}
