"""The two networks, and what their outputs mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from olpipe.perception.classifier import Classifier
from olpipe.perception.detector import Detector
from olpipe.record import Detection, Label
from olpipe_photo_mini.chances import Sighting, chance, logit
from olpipe_photo_mini.labels import ClassifierLabels, Indices, detector_labels, sums
from olpipe_photo_mini.thresholds import (
    BREED_SCORE,
    GROUP_SCORE,
    KIND_SCORE,
    LEAST_CLASS,
    NAME_SCORE,
    NAME_WEIGHTS,
    SUM_WEIGHTS,
    WIDER_GAIN,
)
from olpipe_photo_mini.weights import CLASSIFIER, DETECTOR

Classes = npt.NDArray[np.intp]

THREADS = 1
"""CPU threads for one photo. Photos are looked at side by side, and the language model needs cores, too.

A second thread would save only an eighth of the time.
"""


@dataclass(frozen=True, slots=True)
class Networks:
    """A detector of things and a classifier of pictures. Thread-safe.

    Attributes:
        detector: Finds things.
        classifier: Says what a picture shows.
        labels: What the classifier's classes mean.
        classes: The classifier's classes for each name of the detector: of the name, and of its groups and places.
        helpers: Threads in which the classifier works.
    """

    detector: Detector
    classifier: Classifier
    labels: ClassifierLabels
    classes: Mapping[str, tuple[Classes, Classes]]
    helpers: ThreadPoolExecutor

    @classmethod
    def open(cls) -> Self:
        """Open both networks.

        Raises:
            BackendMissing: ONNX Runtime is not installed.
        """
        detector = Detector(DETECTOR.path, detector_labels(), threads=THREADS)
        classifier = Classifier(CLASSIFIER.path, threads=THREADS)
        labels = ClassifierLabels.read()
        helpers = ThreadPoolExecutor(thread_name_prefix="classifier")
        return cls(detector, classifier, labels, _classes(labels), helpers)

    def begin(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Future[npt.NDArray[np.float32]]:
        """Classify pictures, (H, W, 3) each, while the caller does something else; the result is (N, classes)."""
        return self.helpers.submit(self.classifier.classify, pictures)

    def whole_photo(self, probabilities: npt.NDArray[np.floating], said: Sequence[Label] = ()) -> list[Label]:
        """Return what the whole photo shows, as far as it is sure enough, each with its chance to be right.

        These are names, kinds and places. Where a family or a group is clearly surer than all of them, and than what
        else is said, it is a name, too: `building` where a tower, a palace and a castle are all unsure.

        Args:
            probabilities: (classes,).
            said: What else is said about the photo.
        """
        # 1. Names of classes, and sums over the classes that stand out
        names = {name: _chance(score, NAME_WEIGHTS) for name, score in sums(probabilities, self.labels.names).items()}
        found = {name: score for name, score in names.items() if score >= NAME_SCORE}
        clear = np.where(probabilities >= LEAST_CLASS, probabilities, 0)
        for table in (self.labels.kinds, self.labels.places):
            found = _surest(found, _sure_sums(clear, table, KIND_SCORE))
        # 2. Families, then groups
        for table in (self.labels.families, self.labels.groups):
            surest = max([*found.values(), *(label.score for label in said)], default=0.0)
            least = max(GROUP_SCORE, surest + WIDER_GAIN)
            found = _surest(found, _sure_sums(clear, table, least))
        return [Label(name, score) for name, score in found.items()]

    def sighting(self, detection: Detection, share: float, probabilities: npt.NDArray[np.floating]) -> Sighting:
        """Return a detection together with what the classifier thinks of it.

        Args:
            detection: What the detector found.
            share: The share of the photo that its box fills.
            probabilities: (classes,), of the whole photo.
        """
        own, context = self.classes[detection.label]
        if not len(own):
            return Sighting(detection.score, share, None, None)
        return Sighting(detection.score, share, float(probabilities[own].sum()), float(probabilities[context].sum()))

    def breed(self, probabilities: npt.NDArray[np.floating], kind: str) -> Label | None:
        """Return a finer name for something of a known kind, or None where none is sure enough.

        Args:
            probabilities: (classes,), of a picture of the thing.
            kind: The kind that is known, like `dog`.
        """
        members = self.labels.kinds.get(kind)
        if members is None:
            return None
        inside = np.zeros_like(probabilities)
        inside[members] = probabilities[members]
        name, score = max(sums(inside, self.labels.names).items(), key=lambda entry: entry[1])
        likely = _chance(score, NAME_WEIGHTS)
        return Label(name, likely) if likely >= BREED_SCORE and name != kind else None


def _chance(probability: float, weights: tuple[float, ...]) -> float:
    return chance([logit(probability)], weights)


def _sure_sums(probabilities: npt.NDArray[np.floating], table: Indices, least: float) -> dict[str, float]:
    """Return the labels of a table that have at least a certain chance, each with its chance."""
    chances = {name: _chance(score, SUM_WEIGHTS) for name, score in sums(probabilities, table).items()}
    return {name: score for name, score in chances.items() if score >= least}


def _surest(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Return the names of both, each with its higher chance."""
    return {name: max(first.get(name, 0.0), second.get(name, 0.0)) for name in [*first, *second]}


def _classes(labels: ClassifierLabels) -> dict[str, tuple[Classes, Classes]]:
    """Return the classes of each name of the detector, and those of its groups and places."""
    return {
        name: (np.array(sorted(labels.members(name)), np.intp), np.array(sorted(labels.context(name)), np.intp))
        for name in detector_labels()
    }
