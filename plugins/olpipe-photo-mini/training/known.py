"""What a photo's evidence allows to say."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from olpipe.perception.prompt import UNSURE, Thing, things
from olpipe.record import Evidence
from training.captions import TITLE_WORDS
from training.detector import HEIGHT, WIDTH
from training.wording import AT, SCENES, TIMES, WHERE, article, headline, spoken

MOST_THINGS, MOST_OTHERS = 4, 2
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
        """Return all things in words, or the scene where there are none: `a kitchen`."""
        named = [spoken(thing) for thing in self.things] + [article(name) for name in self.others]
        return named or [self.scene.partition(" ")[2]]

    @property
    def count(self) -> int:
        """Return how many things there are, with a place or without."""
        return len(self.things) + len(self.others)

    @property
    def where(self) -> str:
        """Return where the largest thing is: `on the left`, or an empty text where there is none."""
        return WHERE[self.things[0].place] if self.things else ""

    @property
    def heading(self) -> str:
        """Return the first thing and where it is, and the second, in few words: `a dog at left and two cats`."""
        first, *others = self.spoken
        second = "".join(f" and {other}" for other in others[:1])
        if not self.things:
            return first + second
        at = AT[self.things[0].place]
        wordings = [f"{first} close up {at}{second}"] if self.things[0].is_large else []
        wordings += [f"{first} {at}{second}", first + second]
        return next((wording for wording in wordings if len(headline(wording).split()) <= TITLE_WORDS), wordings[-1])


def know(evidence: Evidence, breeds: Collection[str]) -> Known:
    """Return what may be said.

    Args:
        evidence: What was found.
        breeds: Finer names of things that have boxes; they are not said.
    """
    # 1. Sort out what was found: things with boxes, names without, place and time
    found = things(evidence, WIDTH, HEIGHT)
    boxed = {thing.label for thing in found}
    free = [label for label in evidence.tags if label.name not in boxed]
    unsaid = {*SCENES, *TIMES, *breeds}
    others = [label.name for label in free if label.score >= UNSURE and label.name not in unsaid]
    scene = next((SCENES[label.name] for label in free if label.name in SCENES), "")
    time = next((TIMES[label.name] for label in free if label.name in TIMES), "")
    # 2. Choose what is sure, or else one thing that is not
    sure = [thing for thing in found if thing.is_sure]
    chosen = [thing for thing in sure if not thing.is_small] or sure
    if chosen or others or scene:
        return Known(chosen[:MOST_THINGS], others[:MOST_OTHERS], scene, time, sure=True)
    if found:
        return Known(found[:1], (), "", time, sure=False)
    names = [label.name for label in free if label.name not in TIMES]
    return Known((), names[:1], "", time, sure=False)
