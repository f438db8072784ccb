"""A text model on ONNX Runtime GenAI: one sequence at a time, decoded by olpipe's own loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from olpipe.default_plugins.ort_genai.answer import Answer
from olpipe.default_plugins.ort_genai.logits import GeneratorLogits
from olpipe.default_plugins.ort_genai.prefixes import Prefixes
from olpipe.default_plugins.ort_genai.prompts import Prompts, TextPrompt, read_settings
from olpipe.default_plugins.ort_genai.runtime import import_runtime
from olpipe.errors import ModelCorrupt
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces import Prepared, SingleSequenceRunner
from olpipe.model import LoadOptions, ModelBundle, RunnerInfo


class TextRunner(SingleSequenceRunner):
    """A decoder-only package."""

    def __init__(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> None:
        super().__init__()
        self._runtime = import_runtime()
        read_settings(package, bundle)  # it says what is wrong with them in better words than the runtime
        self._model, tokenizer = self._load(package, bundle, options)
        self._prompts = Prompts(package, bundle, options, tokenizer)
        self.info = RunnerInfo(context_length=self._prompts.context_length)
        self._prefixes = Prefixes(self._open, context_length=self.info.context_length)

    def _open(self, length: int) -> GeneratorLogits:
        return GeneratorLogits(self._runtime, self._model, max_length=length)

    def _load(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> tuple[Any, Any]:
        try:
            config = self._runtime.Config(str(package))
            if options.threads:
                session = {"intra_op_num_threads": options.threads}
                config.overlay(orjson.dumps({"model": {"decoder": {"session_options": session}}}).decode())
            model = self._runtime.Model(config)
            return model, self._runtime.Tokenizer(model)
        except RuntimeError as error:
            raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {str(error).splitlines()[0]}") from error

    def prepare(self, request: GenerateRequest) -> TextPrompt:
        """Render the chat template, tokenise, and compile the grammar."""
        return self._prompts.prepare(request)

    def generate(self, prepared: Prepared) -> Iterator[Chunk]:
        """Decode, yielding a chunk whenever text becomes showable."""
        assert isinstance(prepared, TextPrompt)
        answer = Answer(prepared, self._prompts.vocabulary)
        sequence, answer.reused_tokens = self._prefixes.begin(prepared.tokens, self._prompts.room(prepared))
        try:
            for run in self._prompts.decode(sequence, prepared):
                chunk = answer.take(run)
                if chunk is not None:
                    yield chunk
                    if chunk.finish_reason is not None:
                        break
        finally:
            self._prefixes.keep(sequence)

    def close(self) -> None:
        """Free the model."""
        self._prefixes.close()
        self._model = None
