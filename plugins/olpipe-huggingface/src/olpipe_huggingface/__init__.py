"""The sinks `huggingface` and `huggingface-paths`: data sets for the library `datasets`."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import SinkFactory
from olpipe_huggingface.sink import HuggingFacePathsSinkFactory, HuggingFaceSinkFactory


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Bring both sinks."""
    return (HuggingFaceSinkFactory(), HuggingFacePathsSinkFactory())
