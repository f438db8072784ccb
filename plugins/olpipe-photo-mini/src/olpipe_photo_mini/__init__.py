"""The model `photo-mini`: a detector and a classifier look at the photo, a small language model writes."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource, Perceiver


@hookimpl
def register_model_sources() -> Iterable[ModelSource]:
    """Bring the language model."""
    from olpipe_photo_mini.source import PhotoMiniSource

    return (PhotoMiniSource(),)


@hookimpl
def register_perceivers() -> Iterable[Perceiver]:
    """Bring the eyes; their networks are opened with the first photo."""
    from olpipe_photo_mini.perceiver import PhotoMini

    return (PhotoMini(),)
