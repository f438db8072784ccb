"""Run a text model on ONNX Runtime GenAI: one sequence at a time. The decoder is olpipe's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.default_plugins.ort_genai.runtime import import_runtime
from olpipe.default_plugins.ort_genai.sequence import GeneratorSequence
from olpipe.default_plugins.packages import TextPackage
from olpipe.errors import ModelCorrupt
from olpipe.families.rendering import ChatRenderer
from olpipe.model import LoadOptions, ModelBundle


class TextRunner(LogitsRunner):
    """The runner of a package with a text decoder."""

    def __init__(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> None:
        """Load a package.

        Raises:
            BackendMissing: The runtime is not installed.
            ModelCorrupt: The package is damaged.
        """
        files = TextPackage.read(package, bundle)
        self._runtime = import_runtime()
        self._model = self._load(package, bundle, options)
        vocabulary = files.vocabulary()
        render = ChatRenderer(vocabulary, files.template, system=bundle.system)
        context_length = min(options.context_length or files.context_length, files.context_length)
        super().__init__(vocabulary, self._open, render, context_length=context_length, markers=render.markers)

    def _open(self, length: int) -> GeneratorSequence:
        """Make an empty sequence."""
        return GeneratorSequence(self._runtime, self._model, max_length=length)

    def _load(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> Any:
        try:
            config = self._runtime.Config(str(package))
            if options.threads:
                session = {"intra_op_num_threads": options.threads}
                config.overlay(orjson.dumps({"model": {"decoder": {"session_options": session}}}).decode())
            return self._runtime.Model(config)
        except RuntimeError as error:
            raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {str(error).splitlines()[0]}") from error

    def close(self) -> None:
        """Free the model."""
        super().close()
        self._model = None
