"""Say how sure a photo's evidence is, so that a program can find the records that somebody should look at."""

from __future__ import annotations

from olpipe.perception.prompt import UNSURE
from olpipe.record import Certainty, Evidence


def certainty_of(evidence: Evidence) -> Certainty:
    """Return how sure perceivers are of what a photo shows.

    - `sure`: at least one object or tag has a score of `UNSURE` or more.
    - `unsure`: all of them have lower scores, or only words were read. Words do not tell what the photo shows.
    - `unrecognised`: there are no objects, no tags and no words.
    """
    scores = [thing.score for thing in evidence.objects] + [label.score for label in evidence.tags]
    if any(score >= UNSURE for score in scores):
        return Certainty.SURE
    if scores or any(read.text.strip() for read in evidence.texts):
        return Certainty.UNSURE
    return Certainty.UNRECOGNISED
