"""Put the perceivers' scores beside the tags and objects of a record. The model has no part in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from olpipe.record import SCORE_DIGITS, TAG_SCORES, Evidence, best_labels

SCORE = "score"


def _plain(name: str) -> str:
    return name.strip().casefold()


def with_scores(
    values: Mapping[str, Any], evidence: Evidence | None, key: Callable[[str], str] = _plain
) -> dict[str, Any]:
    """Return a record's values with scores.

    An object gets the `score` of the detection that has its box and its type; others get none. Right behind `tags`
    comes a list with a number for each tag that the evidence has, and None for each that the model wrote itself. A
    `score` that the model wrote is left out.

    Args:
        values: What a task that is `scored` made of an answer.
        evidence: What was found, in the language of the values; None where no perceiver looked at the photo.
        key: Returns the same text for names that are the same.
    """
    scored: dict[str, Any] = {}
    for name, value in values.items():
        if name == "objects" and value is not None:
            scored[name] = _objects(value, Evidence() if evidence is None else evidence)
        else:
            scored[name] = value
        if name == "tags" and value is not None and evidence is not None:
            best = {key(label.name): round(label.score, SCORE_DIGITS) for label in best_labels(evidence.tags)}
            scored[TAG_SCORES] = [best.get(key(tag)) for tag in value]
    return scored


def _objects(things: list[Mapping[str, Any]], evidence: Evidence) -> list[dict[str, Any]]:
    scores: dict[tuple[Any, ...], float] = {}
    for found in evidence.objects:
        place = (found.box.x, found.box.y, found.box.w, found.box.h, found.label)
        scores[place] = max(round(found.score, SCORE_DIGITS), scores.get(place, 0.0))
    scored = []
    for thing in things:
        score = scores.get(tuple(thing.get(name) for name in ("x", "y", "w", "h", "type")))
        own = {name: value for name, value in thing.items() if name != SCORE}
        scored.append(own if score is None else {**own, SCORE: score})
    return scored
