"""Where a model is in a registry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from olpipe.errors import InvalidName, PullFailed
from olpipe.model import DEFAULT_HOST, ModelName
from olpipe.network.addresses import MOST_PORT

_PLAIN, _SECURE = "http://", "https://"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model is in a registry.

    Attributes:
        name: The model's name. Its host is in lower case.
        url: The URL of the registry: scheme, host, and perhaps a port.
        trusted: Whether secrets may be sent there: over HTTPS, or over plain HTTP where the user allowed that.
    """

    name: ModelName
    url: str
    trusted: bool

    @classmethod
    def parse(cls, reference: str, registry: str) -> Self:
        """Read a reference: a name, which may have `//`, `https://` or `http://` before it.

        Args:
            reference: The reference. `http://` means that the user allowed a connection that others can read.
            registry: The URL of the registry for names without a host; empty where no registry is asked at all.

        Raises:
            InvalidName: It has no name.
            PullFailed: No registry is asked.
        """
        if not registry:
            hint = "set it to the URL of a registry, or leave it out"
            raise PullFailed(f"`{reference}` cannot be had: OLPIPE_REGISTRY switches registries off", hint=hint)
        allowed = reference.startswith(_PLAIN)
        name = name_in(reference)
        url = registry if name.host == DEFAULT_HOST else f"{_SECURE}{name.host}"
        if allowed:
            url = url.replace(_SECURE, _PLAIN, 1)
        return cls(name, url, allowed or url.startswith(_SECURE))

    @property
    def host(self) -> str:
        """The registry's host, with its port where it has one."""
        return self.url.partition("://")[2]

    @property
    def repository(self) -> str:
        """What the registry calls the model, without its tag."""
        return f"{self.name.namespace}/{self.name.model}"

    def of(self, path: str) -> str:
        """Return the URL of something that belongs to the model."""
        return f"{self.url}/v2/{self.repository}/{path}"


def name_in(reference: str) -> ModelName:
    """Return the name in a reference.

    Raises:
        InvalidName: It has none.
    """
    for prefix in (_PLAIN, _SECURE, "//"):
        reference = reference.removeprefix(prefix)
    name = ModelName.parse(reference)
    host, _, port = name.host.lower().partition(":")
    if not host or (":" in name.host and not (port.isdecimal() and 0 < int(port) <= MOST_PORT)):
        raise InvalidName(f"`{name.host}` in `{reference}` is not a host", hint="write it like `registry.example:5000`")
    return replace(name, host=name.host.lower())
