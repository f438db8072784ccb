"""What is to be pulled, as far as this machine can tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

from olpipe.errors import ModelNotFound, UsageError
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.store.file_reference import SCHEME, SEPARATOR, FileReference
from olpipe.store.resolve import find_source
from olpipe.store.sources import Origin, default_name


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be pulled.

    Attributes:
        source: What the user wrote. A projector stands behind it.
        insecure: Whether a registry may be asked over a connection that others can read.
        called: What the model is to be called; None leaves that to its source.
        origin: Where it comes from; None where no source on this machine has it. A server may have other sources.
        target: What it will be called; None where that is not known.
        missing: Why there is no origin.
    """

    source: str
    insecure: bool
    called: ModelName | None
    origin: Origin | None
    target: ModelName | None
    missing: ModelNotFound | None = None

    @classmethod
    def make(
        cls, source: str, plugins: Plugins, *, called: str | None, projector: str | None = None, insecure: bool = False
    ) -> Plan:
        """Look for a source.

        Args:
            source: A name, a name with a digest, or `SCHEME:REFERENCE`.
            plugins: The plugins that bring sources.
            called: What to call the model; None leaves that to its source.
            projector: The path of its vision encoder; None where the source says all.
            insecure: Whether a registry may be asked over a connection that others can read.

        Raises:
            UsageError: The source, the name or the projector cannot be meant.
        """
        name = ModelName.parse(called) if called else None
        try:
            origin, usual_name = find_source(source, plugins, insecure=insecure)
        except ModelNotFound as error:
            if projector is not None:
                raise _no_projector(source) from error
            return cls(source, insecure, name, None, name, error)
        if projector is not None:
            origin = _with_projector(origin, source, projector)
            source = f"{origin.source.scheme}:{origin.reference}"
        if origin.source.scheme == SCHEME:
            origin = replace(origin, reference=_whole_paths(origin.reference))
        return cls(source, insecure, name, origin, name or usual_name or default_name(origin, plugins))

    @property
    def path(self) -> str | None:
        """`file:` with whole paths, where the source is a path on this machine; None where it is not."""
        return self.origin.text if self.origin is not None and self.origin.source.scheme == SCHEME else None

    @property
    def explanation(self) -> str:
        """What is being done, for the user."""
        named = "" if self.target is None else f"`{self.target}` from "
        origin = self.origin
        is_short = origin is not None and bool(origin.source.hosts) and "/" not in self.source
        return f"pulling {named}`{origin.reference if origin is not None and is_short else self.source}`"


def _whole_paths(reference: str) -> str:
    """Return a reference to files that is valid in any folder."""
    found = FileReference.parse(reference)
    return f"{found.model}" if found.projector is None else f"{found.model}{SEPARATOR}{found.projector}"


def _with_projector(origin: Origin, source: str, projector: str) -> Origin:
    """Return an origin that names a projector, too.

    Raises:
        UsageError: The source is not `file:`, its reference names a projector already, or the path is empty.
    """
    if origin.source.scheme != SCHEME:
        raise _no_projector(source)
    if not projector:
        raise UsageError("`--projector` is empty", hint="name the .gguf file of the vision encoder")
    if FileReference.parse(origin.reference).projector is not None:
        raise UsageError(f"`{source}` names a projector already", hint=f"leave out `--projector {projector}`")
    return replace(origin, reference=f"{origin.reference}{SEPARATOR}{projector}")


def _no_projector(source: str) -> UsageError:
    message = f"`--projector` goes with `{SCHEME}:PATH`, and not with `{source}`"
    return UsageError(message, hint="leave it out, or name the file of the text model")
