"""What the networks' classes are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from olpipe_photo_mini.weights import DATA

Indices = Mapping[str, npt.NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class ClassifierLabels:
    """The 1000 classes of ImageNet, under three headings.

    The classes are finer than what one can be sure of: a photo of a cat may be a tabby, a lynx or a
    spotted cat, each a little. Added up, they are a cat.

    Attributes:
        names: Classes by their own name, a few of which stand for two.
        kinds: Classes by the kind of thing they are, where there is a common word: `cat`.
        places: Classes by the place they are found in: a washbasin in a bathroom.
    """

    names: Indices
    kinds: Indices
    places: Indices

    @classmethod
    def read(cls) -> ClassifierLabels:
        """Read the table of classes, a line each in their order: name, kind, place."""
        lines = (DATA / "imagenet.tsv").read_text(encoding="utf-8").splitlines()[1:]
        rows = [([*line.split("\t"), "", ""])[:3] for line in lines]
        names, kinds, places = (_indices(column) for column in zip(*rows, strict=True))
        return cls(names, kinds, places)


def detector_labels() -> tuple[str, ...]:
    """Return the names of the 80 classes of COCO, in their order."""
    return tuple((DATA / "coco.txt").read_text(encoding="utf-8").splitlines())


def sums(probabilities: npt.NDArray[np.floating], labels: Indices) -> dict[str, float]:
    """Return the probability of each label: the sum over its classes."""
    return {label: float(probabilities[indices].sum()) for label, indices in labels.items()}


def _indices(column: Sequence[str]) -> Indices:
    found: dict[str, list[int]] = {}
    for index, label in enumerate(column):
        if label:
            found.setdefault(label, []).append(index)
    return {label: np.array(indices) for label, indices in found.items()}
