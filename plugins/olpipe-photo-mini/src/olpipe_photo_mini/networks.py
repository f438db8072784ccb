"""The two networks, and what their outputs mean."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from olpipe.perception.classifier import Classifier
from olpipe.perception.detector import Detector
from olpipe.record import Label
from olpipe_photo_mini.labels import ClassifierLabels, detector_labels, sums
from olpipe_photo_mini.thresholds import BREED_SCORE, GROUP_SCORE, NAME_SCORE
from olpipe_photo_mini.weights import CLASSIFIER, DETECTOR

THREADS = 1
"""CPU threads for one photo. Photos are looked at side by side, and the language model needs cores, too.

A second thread would save only an eighth of the time.
"""


@dataclass(frozen=True, slots=True)
class Networks:
    """A detector of things and a classifier of pictures. Thread-safe."""

    detector: Detector
    classifier: Classifier
    labels: ClassifierLabels
    helpers: ThreadPoolExecutor

    @classmethod
    def open(cls) -> Self:
        """Open both networks.

        Raises:
            BackendMissing: ONNX Runtime is not installed.
        """
        detector = Detector(DETECTOR.path, detector_labels(), threads=THREADS)
        classifier = Classifier(CLASSIFIER.path, threads=THREADS)
        return cls(detector, classifier, ClassifierLabels.read(), ThreadPoolExecutor(thread_name_prefix="classifier"))

    def begin(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Future[npt.NDArray[np.float32]]:
        """Classify pictures, (H, W, 3) each, while the caller does something else; the result is (N, classes)."""
        return self.helpers.submit(self.classifier.classify, pictures)

    def whole_photo(self, probabilities: npt.NDArray[np.floating]) -> list[Label]:
        """Return the names, kinds and places of the whole photo that are sure enough; probabilities are (classes,)."""
        headings = (
            (self.labels.names, NAME_SCORE),
            (self.labels.kinds, GROUP_SCORE),
            (self.labels.places, GROUP_SCORE),
        )
        return [
            Label(name, score)
            for labels, least in headings
            for name, score in sums(probabilities, labels).items()
            if score >= least
        ]

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
        return Label(name, score) if score >= BREED_SCORE and name != kind else None
