"""Run a model that sees on ONNX Runtime GenAI: one sequence at a time. Prompts, pixels and the decoder are olpipe's."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.decoding.preparing import PreparedPrompt
from olpipe.decoding.prompt import Prompt
from olpipe.default_plugins.ort_genai.runtime import import_runtime, load_model, new_generator
from olpipe.default_plugins.ort_genai.seeing_sequence import RewindableSeeingSequence, SeeingSequence
from olpipe.default_plugins.ort_genai.seeing_types import eyes_for
from olpipe.default_plugins.ort_genai.vision_files import VisionFiles
from olpipe.default_plugins.packages import TextPackage
from olpipe.families.rendering import ChatRenderer
from olpipe.families.showing import prompt_with_room
from olpipe.generation import GenerateRequest, Timings
from olpipe.model import LoadOptions, ModelBundle


class SeeingRunner(LogitsRunner):
    """The runner of a package with a vision encoder and a text decoder."""

    def __init__(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> None:
        """Load a package.

        Raises:
            BackendMissing: The runtime is not installed, or it does not compute on the device.
            ModelCorrupt: The package is damaged.
            ModelUnsupported: The package takes pixels of a type that is not made here.
        """
        # 1. The files, and what prepares images.
        files = TextPackage.read(package, bundle)
        vision = VisionFiles.read(package, str(bundle.name))
        vocabulary = files.vocabulary()
        self._eyes = eyes_for(vision, vocabulary, files.template)
        self._tokens = options.image_tokens or self._eyes.tokens
        # 2. The model.
        self._runtime = import_runtime()
        self._model: Any = load_model(self._runtime, package, bundle, options, changes=without_padding(files))
        # 3. The runner. Its renderer tries smaller images where there is no room for large ones.
        self._chat = ChatRenderer(
            vocabulary,
            self._eyes.template,
            system=bundle.system,
            show_image=partial(self._eyes.span, tokens=self._tokens),
            image_text=self._eyes.image_text,
        )
        limits = (options.context_length, files.context_length, self._eyes.most_context)
        super().__init__(
            vocabulary,
            self._open,
            self._render,
            context_length=min(limit for limit in limits if limit),
            fit_pixels=self._eyes.fit_pixels(self._tokens),
            markers=self._chat.markers,
            images_first=True,
        )
        self.info = replace(self.info, boxes=self._eyes.boxes)

    def prepare(self, request: GenerateRequest) -> PreparedPrompt:
        """Render the prompt, compile the grammar, and resize the images."""
        prepared = super().prepare(request)
        prompt, fit_ns = self._eyes.look(prepared.prompt)
        return replace(prepared, prompt=prompt, timings=prepared.timings + Timings(fit_ns=fit_ns))

    def _render(self, request: GenerateRequest) -> Prompt:
        """Return the prompt of a request. Its images get fewer tokens where there is no room for all of them."""
        prompt = prompt_with_room(
            lambda tokens: self._chat(request, show_image=partial(self._eyes.span, tokens=tokens)),
            self._tokens,
            request,
            context_length=self.info.context_length,
        )
        self._eyes.check(prompt)
        return prompt

    def _open(self, length: int) -> SeeingSequence:
        """Make an empty sequence."""
        kind = RewindableSeeingSequence if self._eyes.rewinds else SeeingSequence
        generator = partial(new_generator, self._runtime, self._model)
        return kind(generator, self._runtime.NamedTensors, self._eyes, max_length=length)

    def close(self) -> None:
        """Free the model."""
        super().close()
        self._model = None


def without_padding(files: TextPackage) -> dict[str, Any]:
    """Return the change that keeps the runtime from taking any token for padding.

    It leaves padding out of prompts and out of the count of positions. Packages often name the token at the end of each
    turn as their padding.
    """
    return {"pad_token_id": files.vocab_size}  # an id that no token has
