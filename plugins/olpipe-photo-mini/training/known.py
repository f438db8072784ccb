"""What a photo's evidence allows to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from olpipe.perception.prompt import UNSURE, Thing, things, without_box
from olpipe.record import Evidence
from training.detector import HEIGHT, WIDTH
from training.photos import NounFinder
from training.wording import SCENES, TIMES, article, spoken

MOST_THINGS, MOST_OTHERS = 5, 2
"""Most things with a place that are said, and most without one."""


@dataclass(frozen=True)
class Known:
    """What a photo's evidence allows to say.

    Attributes:
        things: Things with a place, largest first. Small and unsure ones are among them only where there is nothing
            else.
        others: Names of things without a place.
        scene: `in a kitchen`, or an empty text.
        time: `at night`, or an empty text.
        sure: Whether anything was sure.
    """

    things: Sequence[Thing]
    others: Sequence[str]
    scene: str
    time: str
    sure: bool

    @property
    def spoken(self) -> list[str]:
        """Return all things in words, the most important first, or the scene where there are none: `a kitchen`."""
        named = [spoken(thing) for thing in self.things] + [article(name) for name in self.others]
        return named or [self.scene.partition(" ")[2]]

    @property
    def count(self) -> int:
        """Return how many things there are, with a place or without."""
        return len(self.things) + len(self.others)

    @property
    def is_little(self) -> bool:
        """Return whether only small things were found, so that most of the photo is not known."""
        return not self.others and not self.scene and all(thing.is_small for thing in self.things)


def know(evidence: Evidence, finder: NounFinder) -> Known:
    """Return what may be said.

    Args:
        evidence: What was found.
        finder: Knows the words for things that have boxes. A name that means the same as a box is not said again.
    """
    # 1. Sort out what was found: things with boxes, names without, place and time
    found = things(evidence, WIDTH, HEIGHT)
    boxed = {thing.label for thing in found if thing.is_sure}
    free = [label for label in without_box(evidence) if not finder.find(label.name) & boxed]
    others = [label.name for label in free if label.score >= UNSURE and label.name not in {*SCENES, *TIMES}]
    scene = next((SCENES[label.name] for label in free if label.name in SCENES and label.score >= UNSURE), "")
    time = next((TIMES[label.name] for label in free if label.name in TIMES), "")
    # 2. Choose what is sure, or else one thing that is not
    sure = [thing for thing in found if thing.is_sure]
    chosen = [thing for thing in sure if not thing.is_small] or ([] if others else sure)
    if chosen or others or scene:
        return Known(chosen[:MOST_THINGS], others[:MOST_OTHERS], scene, time, sure=True)
    if found:
        return Known(found[:1], (), "", time, sure=False)
    names = [label.name for label in free if label.name not in TIMES]
    return Known((), names[:1], "", time, sure=False)
