"""Run a text model on ONNX Runtime GenAI: one sequence at a time. The decoder is olpipe's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.default_plugins.ort_genai.runtime import import_runtime, load_model
from olpipe.default_plugins.ort_genai.sequence import GeneratorSequence
from olpipe.default_plugins.packages import TextPackage
from olpipe.families.rendering import ChatRenderer
from olpipe.model import LoadOptions, ModelBundle


class TextRunner(LogitsRunner):
    """The runner of a package with a text decoder."""

    def __init__(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> None:
        """Load a package.

        Raises:
            BackendMissing: The runtime is not installed, or it does not compute on the device.
            ModelCorrupt: The package is damaged.
        """
        files = TextPackage.read(package, bundle)
        self._runtime = import_runtime()
        self._model: Any = load_model(self._runtime, package, bundle, options)
        vocabulary = files.vocabulary()
        render = ChatRenderer(vocabulary, files.template, system=bundle.system)
        context_length = min(options.context_length or files.context_length, files.context_length)
        super().__init__(vocabulary, self._open, render, context_length=context_length, markers=render.markers)

    def _open(self, length: int) -> GeneratorSequence:
        """Make an empty sequence."""
        return GeneratorSequence(self._runtime, self._model, max_length=length)

    def close(self) -> None:
        """Free the model."""
        super().close()
        self._model = None
