"""The sinks `xmp`, `xmp-beside` and `xmp-embed`: what records say, where photo programs look for it."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import SinkFactory
from olpipe_xmp.sinks import XmpBesideFactory, XmpEmbedFactory, XmpFactory


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Bring the three sinks."""
    return (XmpFactory(), XmpBesideFactory(), XmpEmbedFactory())
