"""`oci:[HOST/]NAMESPACE/MODEL[:TAG]`: models in registries. Names that no other source offers lead here, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from olpipe.errors import PullFailed, PushFailed
from olpipe.interfaces import ModelSource, ModelStore, Outgoing, ProgressCallback
from olpipe.model import ModelName

if TYPE_CHECKING:
    from olpipe.default_plugins.sources.registry.options import Options


class RegistrySource(ModelSource):
    """Pulls models from registries, and pushes them there."""

    scheme = "oci"

    def __init__(self, options: Callable[[], Options] | None = None) -> None:
        """Read nothing yet.

        Args:
            options: Says how registries are asked. None reads the settings, each time that a registry is asked.
        """
        self._read = options

    def may_have(self, name: ModelName) -> bool:
        """Say whether any registry is asked: each of them may have anything."""
        return bool(self._options().registry)

    def default_name(self, reference: str) -> ModelName:
        """Return the name in the reference."""
        from olpipe.default_plugins.sources.registry.address import name_in

        return name_in(reference)

    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Bring the manifest, then the config, then everything else."""
        from olpipe.default_plugins.sources.registry.address import Address
        from olpipe.default_plugins.sources.registry.client import Registry
        from olpipe.default_plugins.sources.registry.pulling import pull_model
        from olpipe.default_plugins.sources.transfer.trouble import becoming

        options = self._options()
        address = Address.parse(reference, options.registry)
        with becoming(PullFailed), Registry(address, options) as registry:
            pull_model(registry, name, store, progress)

    def push(self, reference: str, model: Outgoing, progress: ProgressCallback) -> None:
        """Send the blobs that the registry lacks, then the manifest."""
        from olpipe.default_plugins.sources.registry.address import Address
        from olpipe.default_plugins.sources.registry.client import Registry
        from olpipe.default_plugins.sources.registry.upload import upload
        from olpipe.default_plugins.sources.transfer.trouble import becoming

        options = self._options()
        address = Address.parse(reference, options.registry)
        with becoming(PushFailed), Registry(address, options, actions="pull,push") as registry:
            upload(registry, model, progress)

    def _options(self) -> Options:
        if self._read is not None:
            return self._read()
        from olpipe.default_plugins.sources.registry.options import Options

        return Options.read()
