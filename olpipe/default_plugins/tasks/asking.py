"""How the default tasks put a recipe to a model."""

from __future__ import annotations

import json

from olpipe.generation import GenerateRequest, Guidance
from olpipe.image import DecodedImage
from olpipe.interfaces import TaskContext
from olpipe.messages import ImagePart, Message, Part, TextPart


def ask(image: DecodedImage, context: TaskContext) -> GenerateRequest:
    """Return a conversation that shows the examples, then the photo; the prompt opens it.

    The prompt comes before whatever changes from photo to photo, so that its prefill can be reused.
    """
    prompt: tuple[Part, ...] = (TextPart(context.prompt),)
    messages: list[Message] = []
    for question, answer in context.examples:
        messages += [Message("user", (*prompt, TextPart(question))), Message.of("assistant", answer)]
        prompt = ()
    messages.append(Message("user", (*prompt, ImagePart(image))))
    source = json.dumps(context.schema, ensure_ascii=False, separators=(",", ":"))
    guidance = Guidance("json_schema", source)
    return GenerateRequest(context.model, tuple(messages), context.sampling, guidance, context.perceivers)
