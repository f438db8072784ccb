"""How the default tasks turn a recipe and a photo into a request."""

from __future__ import annotations

import json

from olpipe.generation import GenerateRequest, Guidance
from olpipe.image import DecodedImage
from olpipe.interfaces import TaskContext
from olpipe.messages import ImagePart, Message, Part, TextPart


def ask(image: DecodedImage, context: TaskContext) -> GenerateRequest:
    """Return a request with a conversation: the prompt, then the examples, then the photo.

    The prompt comes before everything that differs from photo to photo, so that its prefill can be reused.

    Args:
        image: The photo.
        context: What the recipe says.
    """
    prompt: tuple[Part, ...] = (TextPart(context.prompt),)
    messages: list[Message] = []
    for question, answer in context.examples:
        messages += [Message("user", (*prompt, TextPart(question))), Message.of("assistant", answer)]
        prompt = ()
    messages.append(Message("user", (*prompt, ImagePart(image))))
    source = json.dumps(context.schema, ensure_ascii=False, separators=(",", ":"))
    return GenerateRequest(
        model=context.model,
        messages=tuple(messages),
        sampling=context.sampling,
        guidance=Guidance("json_schema", source),
        perceivers=context.perceivers,
        language=context.language,
    )
