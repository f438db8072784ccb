"""Find out how a model says boxes: read its numbers in every way, and compare the boxes with the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import get_args

from olpipe.image import Box, BoxDialect, BoxOrder, BoxUnit, DecodedImage, ShownImage
from olpipe.store.findings import Fit


@dataclass(frozen=True, slots=True)
class SaidBox:
    """What a model said of a shape whose box is known.

    Attributes:
        numbers: The four numbers; empty where the answer could not be read.
        picture: The picture that it was asked about.
        shown: The picture as the model saw it; None where the backend does not say.
        true: The box of the shape.
    """

    numbers: tuple[float, ...]
    picture: DecodedImage
    shown: ShownImage | None
    true: Box


def fits(said: Sequence[SaidBox], own: BoxDialect) -> list[Fit]:
    """Return how well the boxes fit in every way to read them, the best first. Of equals, the family's own is first.

    Where a backend does not say in which size the model saw a picture, pixels of that size are left out.

    Args:
        said: What the model said, at least once.
        own: How the model's family says boxes.
    """
    shown = all(one.shown is not None for one in said)
    ways = [(own.order, own.unit)] + [(order, unit) for order in get_args(BoxOrder) for unit in get_args(BoxUnit)]
    found = [
        _fit(said, replace(own, order=order, unit=unit))
        for order, unit in dict.fromkeys(ways)
        if shown or unit != "pixels"
    ]
    return sorted(found, key=lambda fit: -fit.overlap)


def _fit(said: Sequence[SaidBox], dialect: BoxDialect) -> Fit:
    overlaps = [
        dialect.box(one.numbers, one.picture, one.shown).overlap(one.true) if one.numbers else 0.0 for one in said
    ]
    return Fit(dialect.order, dialect.unit, round(median(overlaps), 3))
