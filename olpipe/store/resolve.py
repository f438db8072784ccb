"""Find the model with a name: on this machine, announced by a source, or on a host that a source claims."""

from __future__ import annotations

import logging

from olpipe.errors import InvalidName, ModelNotFound, OlpipeError, nearest
from olpipe.interfaces import ModelSource, ProgressCallback
from olpipe.model import DEFAULT_TAG, ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.store.library import Library
from olpipe.store.pull import pull

logger = logging.getLogger(__name__)

Origin = tuple[ModelSource, str]
"""A source, and what it calls a model."""


def announced(plugins: Plugins) -> dict[ModelName, Origin]:
    """Return every model that a source announces; of two sources with the same name the first wins."""
    found: dict[ModelName, Origin] = {}
    for source in plugins.model_sources:
        try:
            with plugins.model_sources.blaming(source.scheme):
                names = {ModelName.parse(text): text for text in source.names()}
        except OlpipeError as error:
            logger.warning("the model source `%s` cannot say what it has: %s", source.scheme, error.message)
            continue
        for name, text in names.items():
            found.setdefault(name, (source, text))
    return found


def origin_of(name: ModelName, text: str, plugins: Plugins) -> Origin | None:
    """Return where a name can be pulled from: the source that announces it, else one that claims its host.

    Args:
        name: The name.
        text: The name as it was written. A source that claims its host gets it in this form.
        plugins: The plugins that bring sources.
    """
    known = announced(plugins).get(name)
    if known is not None:
        return known
    return next(((source, text) for source in plugins.model_sources if name.host.lower() in source.hosts), None)


def resolve(text: str, library: Library, plugins: Plugins, progress: ProgressCallback) -> ModelBundle:
    """Return the model with a name. If only a source has it, it is pulled and built first.

    Raises:
        InvalidName: The text is not a name.
        ModelNotFound: The model is not on this machine, and no source announces it or claims its host.
    """
    name = ModelName.parse(text)
    try:
        return library.get(name)
    except ModelNotFound:
        origin = origin_of(name, text, plugins)
        if origin is None:
            raise not_found(text, library, plugins) from None
    source, reference = origin
    return pull(source, reference, name, library, plugins, progress=progress, again=False)


def find_source(text: str, library: Library, plugins: Plugins) -> tuple[ModelSource, str, ModelName | None]:
    """Return where `olpipe pull` gets a model from: the source, the source's reference to it, and its name here.

    The name is None for `SCHEME:REFERENCE`: then the source has a default name for it.

    Args:
        text: A name, or `SCHEME:REFERENCE`.
        library: The models on this machine, so that an error can offer similar names.
        plugins: The plugins that bring sources.

    Raises:
        ModelNotFound: No source has it.
        InvalidName: Nothing follows the scheme.
    """
    try:
        name = ModelName.parse(text)
    except InvalidName:
        name = None
    if name is not None and (origin := origin_of(name, text, plugins)) is not None:
        return *origin, name
    scheme, colon, reference = text.partition(":")
    if colon and scheme in plugins.model_sources:
        if not reference:
            raise InvalidName(f"`{text}` names nothing to pull", hint=f"write something after `{scheme}:`")
        return plugins.model_sources.get(scheme), reference, None
    if name is None:
        schemes = ", ".join(f"`{scheme}:`" for scheme in plugins.model_sources.names())
        raise ModelNotFound(f"no source has a model `{text}`", hint=f"sources are {schemes}")
    raise not_found(text, library, plugins)


def not_found(text: str, library: Library, plugins: Plugins) -> ModelNotFound:
    """Return the error for a name that no model has, with the most similar names that there are."""
    pullable = [str(name) for name in announced(plugins)]
    here = [str(name) for name in library.names()]
    scheme = text.split(":")[0]
    if scheme in plugins.model_sources:
        hint = f"run `olpipe pull {text}`"
    elif close := _nearest(text, [*here, *pullable]):
        hint = f"did you mean {' or '.join(f'`{match}`' for match in close)}?"
        if close[0] in pullable and close[0] not in here:
            hint += f" run `olpipe pull {close[0]}`"
    elif pullable:
        hint = f"run `olpipe pull {pullable[0]}`, or `olpipe pull file:PATH` for your own weights"
    else:
        hint = "run `olpipe pull file:PATH` for your own weights; `olpipe list` shows what is here"
    return ModelNotFound(f"model `{text}` is not on this machine", hint=hint)


def _nearest(text: str, names: list[str]) -> list[str]:
    """Return the most similar names. The default tag is not compared: it would count for more than a short name."""
    usual = f":{DEFAULT_TAG}"
    shortened = {name.removesuffix(usual): name for name in names}
    return [shortened[match] for match in nearest(text.removesuffix(usual), shortened)]
