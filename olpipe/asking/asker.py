"""Build requests from messages and wishes, and judge what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from olpipe.asking.wishes import Wishes
from olpipe.generation import Completion, GenerateRequest
from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.imaging.decode import load
from olpipe.messages import Message
from olpipe.model import ModelBundle
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.perception.ground import Grounder
from olpipe.plugins import Plugins


class Asker:
    """Builds the requests to one model."""

    def __init__(
        self,
        bundle: ModelBundle,
        wishes: Wishes,
        plugins: Plugins,
        *,
        model_pixels: int = USUAL_PIXELS,
        evidence: EvidenceCache | None = None,
    ) -> None:
        """Find the perceivers that are wished for.

        Args:
            bundle: The model.
            wishes: What is asked of it.
            plugins: Who brings perceivers and image loaders.
            model_pixels: How many pixels of a photo the model can use.
            evidence: Where evidence is kept; None looks at every photo anew.

        Raises:
            UnknownName: A perceiver is not installed.
        """
        self._bundle = bundle
        self._wishes = wishes
        self._loaders = plugins.image_loaders
        self._model_pixels = model_pixels
        self._grounder = Grounder(bundle, plugins.perceivers, names=wishes.perceivers, cache=evidence)

    def image(self, path: Path) -> DecodedImage:
        """Decode a photo to as many pixels as somebody can use.

        Raises:
            ImageError: It cannot be decoded; the message names it.
        """
        return load(path, self._loaders, fit_pixels=max(self._model_pixels, self._grounder.fit_pixels))

    def request(self, model: str, messages: Sequence[Message]) -> GenerateRequest:
        """Return the request to send, with the evidence of its photos in it.

        Args:
            model: The model's name, as it was given.
            messages: The conversation, oldest first.

        Raises:
            UsageError: A wish that cannot be fulfilled, or photos that nobody can look at.
            PluginError: A perceiver failed.
        """
        wishes = self._wishes
        request = GenerateRequest(
            model,
            tuple(messages),
            wishes.sampling_for(self._bundle),
            wishes.guidance(),
            tools=wishes.tools,
            tool_choice=wishes.tool_choice,
            think=wishes.think,
            raw=wishes.raw,
            suffix=wishes.suffix,
            perceivers=wishes.perceivers,
            language=wishes.language,
            top_logprobs=wishes.top_logprobs,
        )
        return self._grounder.ground(request, model_pixels=self._model_pixels)


def judge(request: GenerateRequest, completion: Completion) -> None:
    """Judge an answer that was shown already and can no longer be changed.

    Raises:
        InvalidOutput: It is not what its format asks for.
    """
    from olpipe.guidance.validate import judge_as_it_is

    if request.guidance is not None and request.guidance.is_json:
        judge_as_it_is(request.guidance.source or "{}", completion.text)
