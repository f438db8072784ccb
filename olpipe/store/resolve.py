"""Find the model with a name: on this machine, announced by a source, or on a host that a source claims."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from olpipe.errors import InvalidName, ModelNotFound, NotAtSource, SourceUnreachable, UsageError
from olpipe.interfaces import ProgressCallback
from olpipe.model import ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.store import catalog, digests
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.sources import INSECURE, Offers, Origin, last_resort, offers
from olpipe.store.unknown import no_name, no_source, not_here, only_pulled


def resolve(text: str, library: Library, plugins: Plugins, progress: ProgressCallback) -> ModelBundle:
    """Return the model with a name. If only a source has it, it is pulled and built first.

    Raises:
        InvalidName: The text is not a name.
        ModelNotFound: The model is not on this machine, and no source announces it or claims its host.
    """
    name = _name(text)
    if name is not None:
        try:
            return library.get(name)
        except ModelNotFound:
            pass  # it may be pulled
    offered = offers(plugins)
    found = _find(text, plugins, offered)
    if found is None:
        raise no_name(text, offered) if name is None else not_here(text, library, plugins, offered)
    origin, usual_name = found
    if name is None or usual_name is None:
        if name is not None and _has_other_tag(name, [*library.names(), *offered.names]):
            raise not_here(text, library, plugins, offered)
        raise only_pulled(text, origin if origin.reference else None, usual_name, plugins)
    return pull(origin, usual_name, library, plugins, progress=progress, again=False)


def find_source(text: str, plugins: Plugins, *, insecure: bool = False) -> tuple[Origin, ModelName | None]:
    """Return where `olpipe pull` gets a model from, and the model's name here.

    The name is None for `SCHEME:REFERENCE`: then the source has a default name for it.

    Args:
        text: A name, a name with `@sha256:…` behind it, or `SCHEME:REFERENCE`. A name may have `https://` before its
            host, or `http://` where that is allowed.
        plugins: The plugins that bring sources.
        insecure: Whether a registry may be asked over a connection that others can read.

    Raises:
        ModelNotFound: No source has it.
        InvalidName: Nothing follows the scheme, or what is behind the `@` is not a digest.
        UsageError: It has `http://` before its host, and that is not allowed.
    """
    offered = offers(plugins)
    text = without_https(text, insecure=insecure)
    found = _find(text, plugins, offered) or _last_resort(text, plugins, insecure=insecure)
    if found is None:
        plain, _ = _unpinned(text)
        raise no_source(text, plain, _name(plain), plugins, offered)
    origin, name = found
    if not origin.reference:
        raise InvalidName(f"`{text}` names nothing to pull", hint=f"write something after `{text}`")
    return _over_what_is_allowed(origin, plugins, insecure=insecure), name


def pull_missing(
    text: str, missing: ModelNotFound, library: Library, plugins: Plugins, progress: ProgressCallback
) -> None:
    """Pull a model that is not here from the source of last resort, which is a registry.

    Args:
        text: The model's name.
        missing: The error that says that it is not here, and that no other source has it.
        library: Where it goes.
        plugins: The plugins that bring sources.
        progress: Told about every step.

    Raises:
        ModelNotFound: It is not there either, or nobody answers there.
    """
    found = _last_resort(text, plugins) if _find(text, plugins, offers(plugins)) is None else None
    if found is None:
        raise missing
    origin, name = found
    try:
        pull(origin, name, library, plugins, progress=progress, again=False)
    except (NotAtSource, SourceUnreachable) as error:
        hint = "; ".join(part for part in (missing.hint, error.message) if part)
        raise ModelNotFound(missing.message, hint=hint) from error


def without_https(text: str, *, insecure: bool) -> str:
    """Return a name without the scheme of a connection.

    Raises:
        UsageError: It is `http://`, and that is not allowed.
    """
    if text.startswith(INSECURE) and not insecure:
        message = f"`{text}` asks for plain HTTP, which others can read and change on the way"
        raise UsageError(message, hint="write `https://`, or allow it with `--insecure`")
    return text.removeprefix(INSECURE).removeprefix("https://")


def _over_what_is_allowed(origin: Origin, plugins: Plugins, *, insecure: bool) -> Origin:
    """Hold a registry that was named by its scheme to the same rule of connections as one that was named by its host.

    Raises:
        UsageError: `http://` stands before its host, and that is not allowed.
    """
    if not insecure and not origin.reference.startswith(INSECURE):
        return origin
    name = _name(origin.reference.removeprefix(INSECURE).removeprefix("https://"))
    usual = last_resort(replace(name, host=name.host.lower()), plugins, insecure=insecure) if name else None
    if usual is None or usual.source is not origin.source:
        return origin  # a source that asks no registry
    without_https(origin.reference, insecure=insecure)
    return replace(usual, digest=origin.digest)


def _last_resort(text: str, plugins: Plugins, *, insecure: bool = False) -> tuple[Origin, ModelName] | None:
    """Return the first source that may have a model which no source announces, on a host that none claims."""
    plain, pin = _unpinned(text)
    name = _name(plain)
    if name is None:
        return None
    name = replace(name, host=name.host.lower())
    origin = last_resort(name, plugins, insecure=insecure)
    if origin is None:
        return None
    return (origin if pin is None else replace(origin, digest=_digest(pin, text))), name


def _find(text: str, plugins: Plugins, offered: Offers) -> tuple[Origin, ModelName | None] | None:
    """Return where a text leads, and the model's name where the text has it.

    The reference is empty where nothing follows a scheme.
    """
    plain, pin = _unpinned(text)
    name = _name(plain)
    offer: tuple[Origin, ModelName | None] | None = offered.origin_of(name, plain) if name is not None else None
    # A name of the usual host may look like `pip:weights`. Only an announced name comes before a scheme.
    scheme, colon, reference = text.partition(":")
    if colon and scheme in plugins.model_sources and (name is None or name not in offered.names):
        return Origin(plugins.model_sources.get(scheme), reference), None
    if name is None and (elsewhere := offered.origin_on_host(plain)) is not None:
        offer = elsewhere, None
    if offer is None:
        offer = catalog.offer(name, plain, offered)
    if offer is None or pin is None:
        return offer
    origin, usual_name = offer
    return replace(origin, digest=_digest(pin, text)), usual_name


def _digest(pin: str, text: str) -> str:
    try:
        return digests.normalised(pin)
    except ValueError as error:
        hint = "a digest is `sha256:` and 64 hex digits"
        raise InvalidName(f"`{pin}` in `{text}` is not a digest", hint=hint) from error


def _has_other_tag(name: ModelName, names: Iterable[ModelName]) -> bool:
    return any(replace(known, tag=name.tag) == name for known in names)


def _name(text: str) -> ModelName | None:
    try:
        return ModelName.parse(text)
    except InvalidName:
        return None


def _unpinned(text: str) -> tuple[str, str | None]:
    """Return a text without the digest at its end, and the digest."""
    plain, at, pin = text.rpartition("@")
    return (plain, pin) if at and pin.startswith("sha256:") else (text, None)
