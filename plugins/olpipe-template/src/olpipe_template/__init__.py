"""An example plugin: a perceiver, a sink that writes lines with tabs, a small backend with its source, and a family.

This module is imported by every command, so it imports nothing heavy: what it brings does that where the work begins.
"""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Backend, Family, ModelSource, Perceiver, SinkFactory
from olpipe_template.colours import Colours
from olpipe_template.counts_backend import CountsBackend
from olpipe_template.counts_source import CountsSource
from olpipe_template.means_family import MeansFamily
from olpipe_template.tsv_sink import TsvSinkFactory


@hookimpl
def register_backends() -> Iterable[Backend]:
    """Bring the backend `counts`."""
    return (CountsBackend(),)


@hookimpl
def register_families() -> Iterable[Family]:
    """Bring the family `Means`."""
    return (MeansFamily(),)


@hookimpl
def register_model_sources() -> Iterable[ModelSource]:
    """Bring `counts:`."""
    return (CountsSource(),)


@hookimpl
def register_perceivers() -> Iterable[Perceiver]:
    """Bring the perceiver `colours`."""
    return (Colours(),)


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Bring the sink `tsv`."""
    return (TsvSinkFactory(),)
