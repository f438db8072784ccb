"""Turn the messages of a request into the prompt of a model: tokens of text, and images at their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from olpipe.decoding.prompt import PlacedImage, Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ModelCorrupt, UsageError, cannot_see
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.compiling import Compiled, compile_template
from olpipe.families.gaps import Gaps
from olpipe.families.markers import markers_of
from olpipe.families.tool_quirks import takes_tools_in_system, wants_short_ids, with_short_ids, with_tools
from olpipe.families.turns import IMAGE, described, joined, turns_of
from olpipe.generation import GenerateRequest
from olpipe.image import DecodedImage, ShownImage
from olpipe.messages import Message

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from olpipe.families.template_shape import TemplateShape


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """The tokens that stand for one image.

    Attributes:
        tokens: Markers and placeholders, in order.
        start: The index of the first placeholder.
        length: How many tokens there are from the first placeholder to the last one.
        digest: A digest of the pixels and of everything else that the features depend on. It tells images apart.
        features: The vision encoder's outputs by their names, as the model's graph takes them.
        before: Text in front of the tokens. It is tokenised together with the text before it.
        after: Text behind the tokens. It is tokenised together with the text that follows.
        rows: As in `PlacedImage`.
        rotary: As in `PlacedImage`.
        shown: As in `PlacedImage`.
        view: What the vision encoder has to look at, where the features are made later.
    """

    tokens: tuple[int, ...]
    start: int
    length: int
    digest: str
    features: Mapping[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    before: str = ""
    after: str = ""
    rows: tuple[int, ...] = ()
    rotary: npt.NDArray[np.int64] | None = None
    shown: ShownImage | None = None
    view: object = None

    def placed(self, at: int) -> PlacedImage:
        """Return the image at its place in a prompt where its tokens begin at a position."""
        return PlacedImage(
            at + self.start,
            self.length,
            self.digest,
            self.features,
            rows=self.rows,
            rotary=self.rotary,
            shown=self.shown,
            view=self.view,
        )


ShowImage = Callable[[DecodedImage], ImageSpan]
"""Turns an image into the tokens that stand for it."""


class ChatRenderer:
    """Renders the requests of one model. It is called with a request, from one thread at a time.

    Attributes:
        markers: How the model marks thinking and tool calls.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        files: TemplateFiles,
        *,
        system: str = "",
        show_image: ShowImage | None = None,
        image_text: str = "",
    ) -> None:
        """Set up for one model.

        Args:
            vocabulary: Its tokens.
            files: Its chat template.
            system: The system message for conversations that have none.
            show_image: Turns an image into tokens and features; None for a model that does not see.
            image_text: What the chat template writes for an image, such as `<|image_pad|>`. The tokens of
                `show_image` take its place. Empty for a template that takes the content of messages as texts.

        Raises:
            ModelCorrupt: The chat template is not valid.
            ValueError: `image_text` is missing, or it has no special token. Then a user could write it, too.
        """
        self.markers = markers_of(files.source, files.tool_source)
        self._tools_in_system = takes_tools_in_system(files.tool_source or files.source)
        self._short_ids = wants_short_ids(files.source + files.tool_source)
        self._vocabulary = vocabulary
        self._template = compile_template(files.source, files.special_tokens)
        self._tool_template = self._template
        if files.tool_source:
            self._tool_template = compile_template(files.tool_source, files.special_tokens)
        self._special_tokens = files.special_tokens
        self._begin = files.special_tokens.get("bos_token", "") if files.adds_begin else ""
        self._gaps = Gaps(vocabulary, begin=self._begin)
        self._system = system
        self._show_image = show_image
        self._image_text = image_text
        if image_text and not vocabulary.special_in([image_text]):
            raise ValueError(f"`{image_text}` has no special token")
        if show_image is not None and not image_text and not self._template.shape.takes_texts:
            raise ValueError("the chat template takes parts only: give what it writes for an image as `image_text`")

    def __call__(self, request: GenerateRequest, *, show_image: ShowImage | None = None) -> Prompt:
        """Return the prompt of a request.

        Args:
            request: The request.
            show_image: What turns its images into tokens; None takes what was given when the renderer was made.

        Raises:
            UsageError: The model does not take such a request: it has images, a gap to fill in, or a conversation that
                the chat template refuses.
            ModelCorrupt: The chat template does something that the sandbox forbids.
        """
        images = [image for message in request.messages for image in message.images]
        if images and self._show_image is None:
            raise cannot_see(request.model)
        if request.suffix is not None:
            return self._fill_in(request, request.suffix)
        text = self._raw(request.messages) if request.raw else self._chat(request)
        return self._place(text, images, show_image or self._show_image or _blind)

    def _chat(self, request: GenerateRequest) -> str:
        """Return the text of a conversation, with `IMAGE` at the place of each image."""
        # 1. The conversation, the tools, and whether to think. What has to be a document or a call begins at once.
        messages = list(request.messages)
        if self._system and all(message.role != "system" for message in messages):
            messages.insert(0, Message.of("system", self._system))
        tools = request.tools if request.tool_choice.mode != "none" else ()
        held = request.guidance is not None or request.tool_choice.mode == "required"
        think = "off" if request.think is None and held else request.think
        # 2. The same in the form that the template expects. The texts of others are quoted.
        template = self._tool_template if tools else self._template
        if request.template:
            template = _compiled(request.template, tuple(self._special_tokens.items()))
        turns = turns_of(messages, self._shape(template), self._quote)
        functions = [described(tool, self._quote) for tool in tools]
        if self._tools_in_system and self.markers.call is not None and not request.template:
            turns = with_tools(turns, functions, self.markers.call)
        if self._short_ids:
            turns = with_short_ids(turns)
        text = template.render(turns, tools=functions, think=think)
        if not template.writes_begin and not text.startswith(self._begin):
            text = self._begin + text
        # 3. Each text for an image that is left was written by the template: quoted texts cannot contain one.
        return text.replace(self._image_text, IMAGE) if self._image_text else text

    def _shape(self, template: Compiled) -> TemplateShape:
        """Return in which form to give a conversation to a template.

        Where it is not known what the template writes for an image, it gets texts with `IMAGE` in them, if it takes
        texts.
        """
        shape = template.shape
        return shape if self._image_text or not shape.takes_texts else replace(shape, takes_parts=False)

    def _raw(self, messages: Sequence[Message]) -> str:
        """Return the text of a raw prompt as it is. Its author writes the special tokens."""
        text = "".join(joined(message.parts, _without_places) for message in messages)
        return text if text.startswith(self._begin) else self._begin + text

    def _fill_in(self, request: GenerateRequest, suffix: str) -> Prompt:
        """Return a prompt that asks for the text between two texts."""
        if not self._gaps.known:
            raise UsageError(f"model `{request.model}` does not fill in text between a prompt and a suffix")
        if any(message.images for message in request.messages):
            raise UsageError("a text with a gap cannot have images", hint="leave out the images or the suffix")
        before = "".join(message.text for message in request.messages)
        return Prompt(self._gaps.ask(before, suffix))

    def _quote(self, text: str) -> str:
        """Mark the text of others, so that nothing in it counts as a special token or as the place of an image."""
        return self._vocabulary.quote(_without_places(text))

    def _place(self, text: str, images: Sequence[DecodedImage], show: ShowImage) -> Prompt:
        """Return the prompt of a rendered text, with the tokens of each image at its place."""
        pieces = text.split(IMAGE)
        if len(pieces) != len(images) + 1:
            raise UsageError("the model's chat template leaves out images", hint="put them into the last message")
        spans = [show(image) for image in images]
        tokens: list[int] = []
        placed: list[PlacedImage] = []
        after = ""
        for span, piece in zip(spans, pieces, strict=False):
            tokens += self._vocabulary.encode(after + piece + span.before)
            placed.append(span.placed(len(tokens)))
            tokens += span.tokens
            after = span.after
        tokens += self._vocabulary.encode(after + pieces[-1])
        return Prompt(tuple(tokens), tuple(placed))


@lru_cache(maxsize=16)
def _compiled(source: str, special_tokens: tuple[tuple[str, str], ...]) -> Compiled:
    """Compile the template of a request. Requests with the same template are often many."""
    try:
        return compile_template(source, dict(special_tokens))
    except ModelCorrupt as error:
        raise UsageError(error.message.replace("the model's chat template", "the chat template")) from error


def _without_places(text: str) -> str:
    return text.replace(IMAGE, "")


def _blind(image: DecodedImage) -> ImageSpan:
    raise AssertionError("images were refused before")
