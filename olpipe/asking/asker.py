"""Make requests from messages and wishes, and judge the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from olpipe.asking.context import wanted_context
from olpipe.asking.wishes import Wishes
from olpipe.generation import Completion, GenerateRequest
from olpipe.guidance.interpreter import Interpreter
from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.imaging.decode import REFUSE_PIXELS, decode, load
from olpipe.messages import Message
from olpipe.model import ModelBundle
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.perception.ground import Grounder
from olpipe.plugins import Plugins


class Asker:
    """Makes the requests to one model."""

    def __init__(
        self,
        bundle: ModelBundle,
        wishes: Wishes,
        plugins: Plugins,
        *,
        model_pixels: int = USUAL_PIXELS,
        evidence: EvidenceCache | None = None,
        interpreter: Interpreter | None = None,
        refuse_pixels: int = REFUSE_PIXELS,
    ) -> None:
        """Find the perceivers that are wished for.

        Args:
            bundle: The model.
            wishes: What is asked of it.
            plugins: The plugins that bring perceivers and image loaders.
            model_pixels: How many pixels of a photo the model can use.
            evidence: Where evidence is kept. None means that every photo is looked at again.
            interpreter: Speaks of boxes with a model that sees; None for a model that does not.
            refuse_pixels: A photo with more pixels is refused.

        Raises:
            UnknownName: A perceiver is not installed.
        """
        self._bundle = bundle
        self._wishes = wishes
        self._loaders = plugins.image_loaders
        self._model_pixels = model_pixels
        self._interpreter = interpreter
        self._refuse_pixels = refuse_pixels
        self._grounder = Grounder(bundle, plugins.perceivers, names=wishes.perceivers, cache=evidence)

    def image(self, source: Path | bytes, *, suffix: str = "") -> DecodedImage:
        """Decode a photo, a file or its bytes, to as many pixels as the model or a perceiver can use.

        Args:
            source: The file, or its bytes.
            suffix: The end of the file's name, where only the bytes are given: `.jpg`.

        Raises:
            ImageError: The photo cannot be decoded. The message names its file.
        """
        sizes = self._grounder.sizes(self._model_pixels)
        if isinstance(source, bytes):
            return decode(source, suffix, self._loaders, refuse_pixels=self._refuse_pixels, sizes=sizes)
        return load(source, self._loaders, refuse_pixels=self._refuse_pixels, sizes=sizes)

    def request(self, model: str, messages: Sequence[Message]) -> GenerateRequest:
        """Return a request with the evidence of its photos in it. `spoken` says how to send it.

        Args:
            model: The model's name, as it was given.
            messages: The conversation, oldest message first. It gets those of the model in front of it.

        Raises:
            SchemaError: The schema is not valid.
            UsageError: A wish cannot be fulfilled, or there are photos, but neither vision nor a perceiver.
            PluginError: A perceiver failed.
        """
        wishes = self._wishes
        request = GenerateRequest(
            model,
            tuple(self._opened(messages)),
            wishes.sampling_for(self._bundle),
            wishes.held_to,
            tools=wishes.tools,
            tool_choice=wishes.tool_choice,
            think=wishes.think,
            raw=wishes.raw,
            suffix=wishes.suffix,
            perceivers=wishes.perceivers,
            language=wishes.language,
            top_logprobs=wishes.top_logprobs,
            context_length=wanted_context(wishes.context_length, self._bundle),
            truncate=wishes.truncate,
            template=wishes.template,
        )
        grounded = self._grounder.ground(request, model_pixels=self._model_pixels).request
        return grounded if self._interpreter is None else self._interpreter.asked(grounded)

    def _opened(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return a conversation that begins with the turns that the model brings. A raw prompt and a gap have none.

        A system message that opens the conversation stays in front, and takes the place of one that the model brings.
        """
        opening = self._bundle.messages
        if not opening or self._wishes.raw or self._wishes.suffix is not None:
            return messages
        if not messages or messages[0].role != "system":
            return [*opening, *messages]
        return [messages[0], *(message for message in opening if message.role != "system"), *messages[1:]]

    def spoken(self, request: GenerateRequest) -> GenerateRequest:
        """Return a request as the model gets it. It is the same request where the answer can be shown as it comes."""
        return request if self._interpreter is None else self._interpreter.spoken(request)

    def heard(self, request: GenerateRequest, completion: Completion) -> Completion:
        """Return the answer to what `spoken` returned, with boxes in pixels of the photo."""
        if self._interpreter is None:
            return completion
        return replace(completion, text=self._interpreter.heard(request, completion))


def without_opening(bundle: ModelBundle) -> ModelBundle:
    """Return a model that opens no conversation. Its system message stays."""
    return replace(bundle, messages=tuple(message for message in bundle.messages if message.role == "system"))


def judge(request: GenerateRequest, completion: Completion) -> None:
    """Judge an answer that was shown already and can no longer be changed.

    Raises:
        InvalidOutput: The answer does not fit the format that was asked for.
    """
    from olpipe.guidance.validate import judge_as_it_is

    if request.guidance is not None and request.guidance.is_json:
        judge_as_it_is(request.guidance.source or "{}", completion.text)
