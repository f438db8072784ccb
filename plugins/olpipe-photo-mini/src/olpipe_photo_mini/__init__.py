"""The model `photo-mini`: a detector and a classifier look at the photo, and a small language model writes."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource, Perceiver


@hookimpl
def register_model_sources() -> Iterable[ModelSource]:
    """Return the source of the language model."""
    from olpipe_photo_mini.source import PhotoMiniSource

    return (PhotoMiniSource(),)


@hookimpl
def register_perceivers() -> Iterable[Perceiver]:
    """Return the perceiver. It opens its networks when it gets the first photo."""
    from olpipe_photo_mini.perceiver import PhotoMini

    return (PhotoMini(),)
