"""`hf.co/OWNER/REPOSITORY[@REVISION][:VARIANT]`: models on the Hugging Face hub, also as `hf:OWNER/REPOSITORY…`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from olpipe.errors import PullFailed
from olpipe.interfaces import FoundModel, ModelSource, ModelStore, ProgressCallback
from olpipe.model import ModelName

if TYPE_CHECKING:
    from olpipe.default_plugins.sources.hub.options import HubOptions


class HubSource(ModelSource):
    """Pulls models from the hub, and searches it."""

    scheme = "hf"
    hosts = ("hf.co", "huggingface.co")

    def __init__(self, options: Callable[[], HubOptions] | None = None) -> None:
        """Read nothing yet.

        Args:
            options: Says how the hub is asked. None reads the settings, each time that the hub is asked.
        """
        self._read = options

    def default_name(self, reference: str) -> ModelName:
        """Return the name of the repository, with the variant as its tag. The revision is not part of it."""
        from olpipe.default_plugins.sources.hub.reference import HubReference

        return HubReference.parse(reference).name

    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Look at the repository, choose files, and bring them: first those that tell whether the model can be run."""
        from olpipe.default_plugins.sources.hub.client import Hub
        from olpipe.default_plugins.sources.hub.pulling import pull_model
        from olpipe.default_plugins.sources.hub.reference import HubReference
        from olpipe.default_plugins.sources.transfer.trouble import becoming

        wanted = HubReference.parse(reference)
        with becoming(PullFailed), Hub(self._options()) as hub:
            pull_model(hub, wanted, name, store, progress)

    def search(self, words: Sequence[str], limit: int) -> Iterable[FoundModel]:
        """Ask the hub for GGUF files and packages of ONNX Runtime GenAI."""
        from olpipe.default_plugins.sources.hub.client import Hub
        from olpipe.default_plugins.sources.hub.searching import search
        from olpipe.default_plugins.sources.transfer.trouble import becoming

        with becoming(PullFailed), Hub(self._options()) as hub:
            return search(hub, words, limit)

    def _options(self) -> HubOptions:
        if self._read is not None:
            return self._read()
        from olpipe.default_plugins.sources.hub.options import HubOptions

        return HubOptions.read()
