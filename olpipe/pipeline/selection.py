"""Choose which of the photos that were found a run brings to an outcome, and which outcomes it does anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from olpipe.image import ImageRef
from olpipe.record import FailureKind


@dataclass(frozen=True, slots=True)
class Selection:
    """Which photos a run is about. Those left out keep what they have.

    Attributes:
        since_ns: Only photos whose file was changed at this time or later, in nanoseconds since 1970; None for all.
        sample: Only this many of them, spread evenly over the folders; None for all.
        limit: Only this many of these, the first ones; None for all.
        retry: Kinds of failures that are tried again, whether their photo has changed or not.
        fresh: Whether photos that have a record or a failure are described again.
        paths: Only photos at these paths; None for all.
    """

    since_ns: int | None = None
    sample: int | None = None
    limit: int | None = None
    retry: frozenset[FailureKind] = frozenset()
    fresh: bool = False
    paths: frozenset[Path] | None = None

    def places(self, images: Sequence[ImageRef]) -> Sequence[int]:
        """Return where the chosen photos lie in a sequence of photos, in their order. The same photos give the same."""
        places: Sequence[int] = range(len(images))
        if self.paths is not None:
            places = [place for place in places if images[place].path in self.paths]
        if self.since_ns is not None:
            places = [place for place in places if images[place].modified_ns >= self.since_ns]
        if self.sample is not None:
            places = spread(places, self.sample)
        return places if self.limit is None else places[: self.limit]


def spread(places: Sequence[int], most: int) -> Sequence[int]:
    """Return at most so many of some places, as far apart as they can be: the middle of each equal part."""
    if len(places) <= most:
        return places
    return [places[(2 * part + 1) * len(places) // (2 * most)] for part in range(most)]
