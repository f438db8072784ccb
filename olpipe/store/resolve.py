"""Find the model that a name means: on this machine, else announced by a source."""

from __future__ import annotations

from olpipe.errors import ModelNotFound, nearest
from olpipe.interfaces import ModelSource, ProgressCallback
from olpipe.model import DEFAULT_TAG, ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.store.library import Library
from olpipe.store.pull import pull


def announced(plugins: Plugins) -> dict[ModelName, tuple[ModelSource, str]]:
    """Return every model that a source announces, with the source's own word for it; the first source wins."""
    found: dict[ModelName, tuple[ModelSource, str]] = {}
    for source in plugins.model_sources:
        for text in source.names():
            found.setdefault(ModelName.parse(text), (source, text))
    return found


def resolve(text: str, library: Library, plugins: Plugins, progress: ProgressCallback) -> ModelBundle:
    """Return the model of that name; one that a source announces is pulled and built first.

    Raises:
        InvalidName: It is not a name.
        ModelNotFound: It is not on this machine and no source announces it.
    """
    name = ModelName.parse(text)
    try:
        return library.get(name)
    except ModelNotFound:
        known = announced(plugins)
        if name not in known:
            raise not_found(text, library, plugins) from None
    source, reference = known[name]
    return pull(source, reference, name, library, plugins, progress=progress, again=False)


def not_found(text: str, library: Library, plugins: Plugins) -> ModelNotFound:
    """Return the error for a name that means nothing here, with the nearest that do."""
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
        hint = f"run `olpipe pull {pullable[0]}`, or `olpipe pull file:PATH` for weights of yours"
    else:
        hint = "run `olpipe pull file:PATH` for weights of yours; `olpipe list` shows what is here"
    return ModelNotFound(f"model `{text}` is not on this machine", hint=hint)


def _nearest(text: str, names: list[str]) -> list[str]:
    """Return the nearest names; a tag that goes without saying would outweigh a short name."""
    usual = f":{DEFAULT_TAG}"
    shortened = {name.removesuffix(usual): name for name in names}
    return [shortened[match] for match in nearest(text.removesuffix(usual), shortened)]
