"""How the default tasks turn a recipe and a photo into a request."""

from __future__ import annotations

import json

from olpipe.generation import GenerateRequest, Guidance
from olpipe.image import DecodedImage
from olpipe.interfaces import TaskContext
from olpipe.messages import ImagePart, Message, Part, TextPart


def ask(image: DecodedImage, context: TaskContext) -> GenerateRequest:
    """Return a request with a conversation: the prompt, then the examples, then the photo.

    What stays the same from one request to the next comes first, so that its prefill can be reused. From photo to
    photo, this is the prompt. Where several questions are asked about one photo, it is the photo, and the prompt comes
    last.

    Args:
        image: The photo.
        context: What the recipe says.
    """
    prompt: tuple[Part, ...] = (TextPart(context.prompt),)
    before, behind = ((), prompt) if context.photo_first else (prompt, ())
    messages: list[Message] = []
    for question, answer in context.examples:
        messages += [Message("user", (*before, TextPart(question))), Message.of("assistant", answer)]
        before = ()
    messages.append(Message("user", (*before, ImagePart(image), *behind)))
    source = json.dumps(context.schema, ensure_ascii=False, separators=(",", ":"))
    return GenerateRequest(
        model=context.model,
        messages=tuple(messages),
        sampling=context.sampling,
        guidance=Guidance("json_schema", source),
        perceivers=context.perceivers,
        language=context.language,
    )
