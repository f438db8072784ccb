"""Ask sources which models they have. A source whose answer cannot be used is blamed by its name and its plugin."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from olpipe.errors import InvalidName, OlpipeError
from olpipe.interfaces import ModelSource
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.registry import Registry

logger = logging.getLogger(__name__)

INSECURE = "http://"
"""Stands before the reference of a source of last resort where a connection that others can read is allowed."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model is pulled from.

    Attributes:
        source: The source that brings it.
        reference: What the source calls it.
        digest: The digest that the model must have, `sha256:…`; None where none was asked for.
    """

    source: ModelSource
    reference: str
    digest: str | None = None

    @property
    def text(self) -> str:
        """The scheme and the reference, as `olpipe pull` takes them."""
        return f"{self.source.scheme}:{self.reference}"


@dataclass(frozen=True, slots=True)
class Offers:
    """The names that sources announce, and the hosts that they claim.

    Attributes:
        names: Sources by announced name, each with the text that it announced. Hosts in names are in lower case.
        hosts: Sources by host in lower case, each with the host as the source claims it.
    """

    names: Mapping[ModelName, tuple[ModelSource, str]]
    hosts: Mapping[str, tuple[ModelSource, str]]

    def origin_on_host(self, text: str) -> Origin | None:
        """Return where a text that is no name can be pulled from: the source that claims the host it begins with.

        Args:
            text: What was written. It has a host, a namespace and a model, and something that no name has.
        """
        host, *rest = text.split("/")
        if host.lower() not in self.hosts or len(rest) < 2 or not all(rest[:2]):
            return None
        source, known = self.hosts[host.lower()]
        return Origin(source, "/".join((known, *rest)))

    def origin_of(self, name: ModelName, text: str) -> tuple[Origin, ModelName] | None:
        """Return where a name can be pulled from: the source that announces it, else the one that claims its host.

        Args:
            name: The name.
            text: The name as it was written. The source that claims its host gets the tag only where it was written.

        Returns:
            The origin, and the name with its host as the source knows it; None where no source offers the name.
        """
        announced = _with_lower_host(name)
        if announced in self.names:
            return Origin(*self.names[announced]), announced
        if announced.host not in self.hosts:
            return None
        source, host = self.hosts[announced.host]
        model = text.rpartition("/")[2]
        return Origin(source, f"{host}/{name.namespace}/{model}"), replace(name, host=host)


def offers(plugins: Plugins) -> Offers:
    """Return what all sources offer. Of two sources that offer the same, the first one has it."""
    names: dict[ModelName, tuple[ModelSource, str]] = {}
    hosts: dict[str, tuple[ModelSource, str]] = {}
    for source in plugins.model_sources:
        for name, text in announced_by(source, plugins.model_sources).items():
            names.setdefault(name, (source, text))
        for host in claimed_by(source, plugins.model_sources):
            hosts.setdefault(host.lower(), (source, host))
    return Offers(names, hosts)


def announced_by(source: ModelSource, sources: Registry[ModelSource]) -> dict[ModelName, str]:
    """Return the names that a source announces, each with the text that it announced.

    A source that fails announces none, and causes a warning.

    Args:
        source: The source.
        sources: The registry that it is in.
    """
    try:
        with sources.blaming(source.scheme):
            found = source.names()
            texts = None if isinstance(found, str) or not isinstance(found, Iterable) else list(found)
        if texts is None or not all(isinstance(text, str) for text in texts):
            raise sources.fault(source.scheme, f"`names` gave {found!r} where a tuple of texts is expected")
        names = {}
        for text in texts:
            try:
                names[_with_lower_host(ModelName.parse(text))] = text
            except InvalidName as error:
                fault = f"`names` gave `{text}`, which is not a model name"
                raise sources.fault(source.scheme, fault) from error
        return names
    except OlpipeError as error:
        logger.warning("%s; the names that it announces are left out", error.message)
        return {}


def claimed_by(source: ModelSource, sources: Registry[ModelSource]) -> tuple[str, ...]:
    """Return the hosts that a source claims. A source that fails claims none, and causes a warning."""
    try:
        with sources.blaming(source.scheme):
            hosts = source.hosts
        if not isinstance(hosts, tuple) or not all(isinstance(host, str) for host in hosts):
            raise sources.fault(source.scheme, f"`hosts` is {hosts!r} where a tuple of texts is expected")
        return hosts
    except OlpipeError as error:
        logger.warning("%s; the hosts that it claims are left out", error.message)
        return ()


def last_resort(name: ModelName, plugins: Plugins, *, insecure: bool = False) -> Origin | None:
    """Return the first source that may have a name that no source announces, on a host that none claims.

    A source that fails has none, and causes a warning.

    Args:
        name: The name, with its host in lower case.
        plugins: The plugins that bring sources.
        insecure: Whether a connection that others can read is allowed.
    """
    sources = plugins.model_sources
    for source in sources:
        try:
            with sources.blaming(source.scheme):
                may_have = source.may_have(name)
            if not isinstance(may_have, bool):
                raise sources.fault(source.scheme, f"`may_have` gave {may_have!r} where a truth value is expected")
        except OlpipeError as error:
            logger.warning("%s; it is not asked for `%s`", error.message, name)
            continue
        if may_have:
            whole = f"{name.host}/{name.namespace}/{name.model}:{name.tag}"
            return Origin(source, f"{INSECURE}{whole}" if insecure else whole)
    return None


def default_name(origin: Origin, plugins: Plugins) -> ModelName:
    """Return the name that a source gives to a model.

    Raises:
        OlpipeError: What the source raises where its reference is wrong.
        PluginError: The source failed, or did not give a name.
    """
    sources, scheme = plugins.model_sources, origin.source.scheme
    with sources.blaming(scheme):
        name = origin.source.default_name(origin.reference)
    if not isinstance(name, ModelName):
        given = type(name).__name__
        raise sources.fault(scheme, f"`default_name` gave a {given} where a `ModelName` is expected")
    return name


def _with_lower_host(name: ModelName) -> ModelName:
    """Return a name as names are compared: capitals in a host mean nothing."""
    return replace(name, host=name.host.lower())
