"""Look at a photo with a detector and a classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.record import Detection, Evidence, Label
from olpipe_photo_mini import thresholds
from olpipe_photo_mini.chances import chance
from olpipe_photo_mini.weights import CLASSIFIER, DATA, DETECTOR

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from olpipe_photo_mini.networks import Networks

    Pixels = npt.NDArray[np.uint8]


class PhotoMini(Perceiver):
    """Finds things with a detector, finer names and places with a classifier, and tones by the photo's colours."""

    name = "photo-mini"

    def __init__(self) -> None:
        """Make a perceiver whose networks are not open yet."""
        self.version = _version()
        self._lock = Lock()
        self._networks: Networks | None = None

    def perceive(self, image: DecodedImage) -> Evidence:
        """Return what is in the photo.

        Raises:
            BackendMissing: ONNX Runtime is not installed.
        """
        from olpipe_photo_mini.tones import tones

        # 1. Classify the whole photo and its middle in a thread, and detect things meanwhile
        networks = self._open()
        whole = networks.begin([image.pixels, centre_square(image.pixels)])
        found = networks.detector.detect(
            image,
            min_score=thresholds.LEAST_SCORE,
            max_overlap=thresholds.MAX_OVERLAP,
            max_overlap_any=thresholds.MAX_OVERLAP_ANY,
        )
        # 2. Weigh each detection with what the classifier thinks of it: likely ones become objects and tags
        probabilities = whole.result().mean(axis=0)  # (classes,)
        objects, tags = weigh(networks, image, found, probabilities)
        # 3. The classifier gives some objects finer names, which are never surer than the object
        for index, name in finer_names(networks, image, objects).items():
            tags.append(Label(name.name, min(name.score, objects[index].score)))
            objects[index] = replace(objects[index], tags=(name.name,))
        # 4. Names of the whole photo and tones become tags, too
        tags += [*networks.whole_photo(probabilities, tags), *tones(image.pixels)]
        return Evidence(tuple(objects), best_first(tags))

    def translations(self) -> Mapping[str, Mapping[str, str]]:
        """Return every name in other languages."""
        from olpipe_photo_mini.translations import translations

        return translations()

    def words(self) -> Mapping[str, Collection[str]]:
        """Return the words that people use for the things that the detector knows."""
        return words()

    def _open(self) -> Networks:
        from olpipe_photo_mini.networks import Networks

        with self._lock:
            if self._networks is None:
                self._networks = Networks.open()
            return self._networks


@cache
def words() -> Mapping[str, frozenset[str]]:
    """Read the table of words for each name. A name of several words is in it if a single word means the same thing."""
    _, *lines = (DATA / "words.tsv").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return {name: frozenset(forms.split()) for name, forms in rows}


def weigh(
    networks: Networks,
    image: DecodedImage,
    found: Sequence[Detection],
    probabilities: npt.NDArray[np.floating],
) -> tuple[list[Detection], list[Label]]:
    """Return the objects and the tags among detections, each with its chance to be right; objects the surest first.

    Args:
        networks: The networks.
        image: The photo.
        found: What the detector found.
        probabilities: (classes,), what the classifier thinks of the whole photo.
    """
    objects, tags = [], []
    for detection in found:
        sighting = networks.sighting(detection, detection.box.area / (image.width * image.height), probabilities)
        box = chance(sighting.features, thresholds.BOX_WEIGHTS)
        name = max(box, chance(sighting.features, thresholds.TAG_WEIGHTS))  # a box is right only if its name is
        if box >= thresholds.OBJECT_SCORE:
            objects.append(replace(detection, score=box))
        if box >= thresholds.OBJECT_SCORE or name >= thresholds.TAG_SCORE:
            tags.append(Label(detection.label, name))
    return sorted(objects, key=lambda detection: -detection.score), tags


def finer_names(networks: Networks, image: DecodedImage, objects: Sequence[Detection]) -> dict[int, Label]:
    """Return finer names for the largest objects of kinds that have finer names, by their index in `objects`."""
    kinds = [index for index, detection in enumerate(objects) if detection.label in networks.labels.kinds]
    largest = sorted(kinds, key=lambda index: -objects[index].box.area)[: thresholds.CROPS]
    crops = {index: crop(image, objects[index].box) for index in largest}
    crops = {index: picture for index, picture in crops.items() if min(picture.shape[:2]) >= thresholds.SMALLEST_CROP}
    if not crops:
        return {}
    probabilities = networks.classifier.classify(list(crops.values()))
    names = (networks.breed(each, objects[index].label) for index, each in zip(crops, probabilities, strict=True))
    return {index: name for index, name in zip(crops, names, strict=True) if name is not None}


def crop(image: DecodedImage, box: Box) -> Pixels:
    """Return the pixels in a box, (h, w, 3), at least one in each direction; the box is in pixels of the original."""
    height, width = image.pixels.shape[:2]
    across, down = width / image.width, height / image.height
    left, top = min(int(box.x * across), width - 1), min(int(box.y * down), height - 1)
    right, bottom = max(left + 1, round((box.x + box.w) * across)), max(top + 1, round((box.y + box.h) * down))
    inside: Pixels = image.pixels[top:bottom, left:right]
    return inside


def centre_square(pixels: Pixels) -> Pixels:
    """Return the largest square in the middle of (H, W, 3), without a copy."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def best_first(labels: list[Label]) -> tuple[Label, ...]:
    """Return each name once, with its best score, the surest first."""
    best: dict[str, Label] = {}
    for label in labels:
        if label.name not in best or best[label.name].score < label.score:
            best[label.name] = label
    return tuple(sorted(best.values(), key=lambda label: (-label.score, label.name)))


def _version() -> str:
    """Return a digest of everything that decides what is found."""
    values = sorted((name, value) for name, value in vars(thresholds).items() if name.isupper())
    tables = [(DATA / file).read_bytes() for file in ("coco.txt", "imagenet.tsv", "words.tsv")]
    text = f"{DETECTOR.sha256} {CLASSIFIER.sha256} {values}".encode()
    return hashlib.sha256(b"\0".join([text, *tables])).hexdigest()[:16]
