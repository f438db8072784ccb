"""What `olpipe doctor` found out about models. Each finding is a small file, named by the digest of its model.

    <models>/findings/<64 hex digits>.json

The file is neither in the cache nor in the manifest. Records depend on a finding. If it were lost with the cache, the
same command would describe all photos again, and otherwise than before. A manifest that changed would be another model.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, get_args

from olpipe.image import BoxDialect, BoxOrder, BoxUnit
from olpipe.interfaces import Backend, Family
from olpipe.store import digests
from olpipe.store.writing import replace_json

logger = logging.getLogger(__name__)

LEAST_OVERLAP = 0.5
"""Boxes whose median overlap with the true ones is smaller are not asked for."""

CLEARLY_BETTER = 0.1
"""By how much another way to read the numbers must fit better than that of the family, so that it is used."""

WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Fit:
    """How well the boxes of a model fit where its numbers are read in one way.

    Attributes:
        order: What the four numbers are taken for.
        unit: What they are taken to count.
        overlap: The median overlap with the true boxes, 0..1.
    """

    order: BoxOrder
    unit: BoxUnit
    overlap: float

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `asdict` gives.

        Raises:
            ValueError: It is something else.
        """
        order, unit, overlap = value["order"], value["unit"], float(value["overlap"])
        if order not in get_args(BoxOrder) or unit not in get_args(BoxUnit) or not 0 <= overlap <= 1:
            raise ValueError(f"`{value}` says no way to read a box")
        return cls(order, unit, overlap)


@dataclass(frozen=True, slots=True)
class Finding:
    """What an examination found out about a model.

    Attributes:
        makers: What `makers` returned for the backend that ran the model. With others, it may answer otherwise.
        verdict: What the model sees, in one sentence.
        usual: How well its boxes fit where they are read as its family says them; None where no boxes were asked for.
        best: How well they fit where they are read in the way that suits them best; None with `usual`.
    """

    makers: tuple[str, ...]
    verdict: str
    usual: Fit | None = None
    best: Fit | None = None

    @property
    def boxes(self) -> Fit | None:
        """How a batch reads the boxes. None means that it does not ask for any."""
        usual, best = self.usual, self.best
        if usual is None or best is None or best.overlap < LEAST_OVERLAP:
            return None
        # Overlaps are rounded, and so is their difference: 0.7 - 0.6 is a little less than 0.1.
        return best if round(best.overlap - usual.overlap, 6) >= CLEARLY_BETTER else usual

    @property
    def change(self) -> str:
        """How records differ for this finding, in a few words; empty where they do not differ."""
        if self.usual is None:
            return ""
        used = self.boxes
        if used is None:
            return WITHHELD
        return "" if used == self.usual else f"{used.order} {used.unit}"

    def dialect(self, own: BoxDialect) -> BoxDialect | None:
        """Return how a model says boxes, given how its family does; None for a model that is not asked for any."""
        if not self.change:
            return own
        used = self.boxes
        return None if used is None else replace(own, order=used.order, unit=used.unit)


def makers(backend: Backend, family: Family | None) -> tuple[str, ...]:
    """Return the names and versions of what makes a model's answers, besides its own files.

    Args:
        backend: The backend that runs the model.
        family: The family of vision models that shows images to it; None where none does.
    """
    return (backend.name, backend.version, *(() if family is None else (family.name, family.version)))


class Findings:
    """The findings of one store."""

    def __init__(self, models: Path) -> None:
        """Use a store. Nothing is created before something is kept.

        Args:
            models: The folder of the store.
        """
        self._folder = models / "findings"

    def about(self, digest: str, made_by: tuple[str, ...]) -> Finding | None:
        """Return the finding about a model, or None where there is none for what makes its answers now.

        Args:
            digest: `sha256:…` of its manifest.
            made_by: What `makers` returns.
        """
        finding = self.get(digest)
        return finding if finding is not None and finding.makers == made_by else None

    def get(self, digest: str) -> Finding | None:
        """Return the finding about a model, or None where there is none. A damaged one causes a warning.

        Args:
            digest: `sha256:…` of its manifest.
        """
        path = self._path(digest)
        try:
            value = json.loads(path.read_bytes())
            made = tuple(map(str, value["makers"]))
            usual, best = (None if value[key] is None else Fit.from_json(value[key]) for key in ("usual", "best"))
            return Finding(made, str(value["verdict"]), usual, best)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("`%s` cannot be used: %s; run `olpipe doctor MODEL --eyes` again", path, error)
            return None

    def keep(self, digest: str, finding: Finding) -> None:
        """Keep the finding about a model, in place of an earlier one.

        Raises:
            DiskFull: There was no space.
            StoreError: The store may not be written.
        """
        replace_json(self._path(digest), asdict(finding), indent=2)

    def discard(self, digest: str) -> None:
        """Remove the finding about a model, if there is one."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digests.hex_of(digest)}.json"
