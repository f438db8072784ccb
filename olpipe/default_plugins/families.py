"""The families of vision models that ship with olpipe."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Family


@hookimpl
def register_families() -> Iterable[Family]:
    """Bring the families; what they need is imported when one of them is used."""
    from olpipe.families.table import FAMILIES

    return FAMILIES
