"""Run a GGUF model on llama.cpp, one sequence at a time. Prompts and the decoder are olpipe's."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from olpipe import machine
from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ModelCorrupt
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.rendering import ChatRenderer
from olpipe.image import USUAL_PIXELS, BoxDialect
from olpipe.model import LoadOptions, ModelBundle
from olpipe_llamacpp.backend import FORMAT, SIZES
from olpipe_llamacpp.eyes import show
from olpipe_llamacpp.image_text import image_text
from olpipe_llamacpp.sequence import LlamaSequence
from olpipe_llamacpp.weights import Weights


class LlamaCppRunner(LogitsRunner):
    """The runner of one model."""

    def __init__(
        self,
        weights: Weights,
        vocabulary: Vocabulary,
        renderer: ChatRenderer,
        *,
        context_length: int,
        boxes: BoxDialect | None,
    ) -> None:
        """Take a loaded model."""
        super().__init__(
            vocabulary,
            lambda length: LlamaSequence(weights, capacity=length),
            renderer,
            context_length=context_length,
            fit_pixels=USUAL_PIXELS if weights.projector else 0,
            markers=renderer.markers,
        )
        self.info = replace(self.info, boxes=boxes)
        self._weights = weights

    def close(self) -> None:
        """Free the model."""
        super().close()
        self._weights.close()


def open_runner(
    source: Path,
    bundle: ModelBundle,
    options: LoadOptions,
    *,
    adapter: Path | None,
    projector: Path | None,
    boxes: BoxDialect | None,
) -> LlamaCppRunner:
    """Load a model.

    Args:
        source: The GGUF file of the text model.
        bundle: The model.
        options: How to load it.
        adapter: The GGUF file of its low-rank adapter.
        projector: The GGUF file of its vision encoder.
        boxes: How it was trained to say where something is.

    Raises:
        BackendMissing: llama.cpp is not installed, or is of another version.
        ModelCorrupt: A file is damaged.
        ModelUnsupported: llama.cpp cannot run the model.
    """
    folder = bundle.cache / FORMAT
    try:
        sizes = json.loads((folder / SIZES).read_bytes())
        trained, ends = int(sizes["context_length"]), [int(token) for token in sizes["end_tokens"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        hint = f"run `olpipe pull {bundle.name}`"
        raise ModelCorrupt(f"what was built of `{bundle.name}` cannot be read: {error}", hint=hint) from error
    threads = options.threads or machine.threads(machine.cores())
    weights = Weights(source, adapter=adapter, projector=projector, threads=threads, image_tokens=options.image_tokens)
    vocabulary = Vocabulary.read(folder, size=weights.vocab_size, end_tokens=ends)
    files = TemplateFiles.read(folder).instead(bundle.template)
    renderer = ChatRenderer(
        vocabulary,
        files,
        system=bundle.system,
        show_image=partial(show, weights, placeholder=ends[0]) if weights.projector else None,
        image_text=image_text(files, vocabulary) if weights.projector else "",
    )
    context_length = min(options.context_length or trained, trained)
    return LlamaCppRunner(weights, vocabulary, renderer, context_length=context_length, boxes=boxes)
