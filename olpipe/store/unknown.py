"""Say that there is no model with a name, and what to do then."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from olpipe.errors import InvalidName, ModelNotFound, OlpipeError
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.store import catalog
from olpipe.store.library import Library
from olpipe.store.manifests import nearest_models
from olpipe.store.sources import Offers, Origin, default_name, last_resort

_HOST = re.compile(r"[\w-][\w.-]*(:\d+)?")
_OWN_WEIGHTS = "`olpipe pull file:PATH` for your own weights"


def not_here(text: str, library: Library, plugins: Plugins, offered: Offers) -> ModelNotFound:
    """Return the error for a name that no model on this machine has and no source offers."""
    here = [str(name) for name in library.names()]
    pullable = _pullable(offered)
    host = _host(text, offered)
    names = [*here, *pullable]
    if host:  # however similar the rest is, a name on another host is another model
        names = [name for name in names if name.lower().startswith(f"{host}/")]
    if close := nearest_models(text, names):
        hint = f"did you mean {_listed(close, ' or ')}?"
        if close[0] in pullable and close[0] not in here:
            hint += f" run `olpipe pull {close[0]}`"
    else:
        hint = _way_on(text, host, plugins, offered) or f"run {_OWN_WEIGHTS}; `olpipe list` shows what is here"
        hint += plugins.not_loaded
    return ModelNotFound(f"model `{text}` is not on this machine", hint=hint)


def only_pulled(text: str, origin: Origin | None, name: ModelName | None, plugins: Plugins) -> ModelNotFound:
    """Return the error for a text that says where a model comes from, where the name of one that is here is needed.

    Args:
        text: `SCHEME:REFERENCE`, or a name with a digest.
        origin: Where it would be pulled from; None where nothing follows the scheme.
        name: The name that the model would have here, where that is known without the source.
        plugins: The plugins that bring sources.
    """
    if origin is not None and name is None:
        try:
            name = default_name(origin, plugins)
        except OlpipeError:
            name = None  # the pull says why
    written = text if origin is not None else f"{text}REFERENCE"
    then = f"its name `{name}`" if name is not None else "the name that it gets"
    return ModelNotFound(f"model `{text}` is not on this machine", hint=f"run `olpipe pull {written}`, then use {then}")


def no_name(text: str, offered: Offers) -> InvalidName:
    """Return the error for a text that is no model's name."""
    hint = _with_namespace(text, _host(text, offered)) or "names look like `namespace/model:tag`"
    return InvalidName(f"`{text}` is not a model name", hint=hint)


def no_source(text: str, plain: str, name: ModelName | None, plugins: Plugins, offered: Offers) -> ModelNotFound:
    """Return the error for a text that `olpipe pull` gets from no source.

    Args:
        text: What was asked for.
        plain: The same without a digest at its end.
        name: The name that it is then; None where it is none.
        plugins: The plugins that bring sources.
        offered: What the sources offer.
    """
    host = _host(plain, offered)
    if not host and (name is None or (":" in plain.partition("/")[0] and "/" in plain)):
        hint = f"sources are {_listed(f'{scheme}:' for scheme in plugins.model_sources.names())}"
        hint += _claimed(offered) + plugins.not_loaded
    elif not host and (close := nearest_models(plain, _pullable(offered))):
        hint = f"did you mean {_listed(close, ' or ')}?"
    else:
        hint = (_way_on(plain, host, plugins, offered) or f"run {_OWN_WEIGHTS}") + plugins.not_loaded
    return ModelNotFound(f"no source has a model `{text}`", hint=hint)


def _pullable(offered: Offers) -> list[str]:
    """Return the names that lead to a source without a registry."""
    return [str(name) for name in (*offered.names, *catalog.short_names(offered))]


def _way_on(text: str, host: str, plugins: Plugins, offered: Offers) -> str:
    """Return a hint for a text that is like no name that there is; empty where nothing but a file can be pulled."""
    if host in offered.hosts:
        return _with_namespace(text, host)
    if _in_registry(text, plugins):
        return f"run `olpipe pull {text}`" + ("" if host else f" if the registry has it, or {_OWN_WEIGHTS}")
    if host:
        return f"no plugin claims the host `{host}`{_claimed(offered)}"
    return f"run `olpipe pull {next(iter(offered.names))}`, or {_OWN_WEIGHTS}" if offered.names else ""


def _in_registry(text: str, plugins: Plugins) -> bool:
    """Say whether a source may have a model of which it cannot say so without being asked."""
    try:
        name = ModelName.parse(text)
    except InvalidName:
        return False
    return last_resort(replace(name, host=name.host.lower()), plugins) is not None


def _host(text: str, offered: Offers) -> str:
    """Return the host that a text begins with, in lower case; empty for `poems/errors`, which begins with none."""
    first, *others = text.lower().split("/")
    if len(others) == 2 or (len(others) == 1 and ("." in first or ":" in first or first in offered.hosts)):
        return first if _HOST.fullmatch(first) else ""
    return ""


def _with_namespace(text: str, host: str) -> str:
    """Return what a name on a host lacks; empty where the text has no host, or lacks nothing."""
    _, *others = text.split("/")
    return f"a name on the host `{host}` is `{host}/NAMESPACE/{others[0]}`" if host and len(others) == 1 else ""


def _claimed(offered: Offers) -> str:
    return f"; claimed hosts are {_listed(offered.hosts)}" if offered.hosts else ""


def _listed(names: Iterable[str], between: str = ", ") -> str:
    return between.join(f"`{name}`" for name in names)
