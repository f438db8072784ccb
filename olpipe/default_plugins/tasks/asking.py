"""How the default tasks put a recipe to a model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from olpipe.generation import GenerateRequest, Guidance
from olpipe.image import DecodedImage
from olpipe.interfaces import TaskContext
from olpipe.messages import ImagePart, Message, Part, TextPart


def ask(image: DecodedImage, context: TaskContext, *, constants: Sequence[tuple[str, str]] = ()) -> GenerateRequest:
    """Return a conversation that shows the examples, then the photo; the prompt opens it.

    The prompt comes before whatever changes from photo to photo, so that its prefill can be reused.

    Args:
        image: The photo.
        context: What the recipe decided.
        constants: Values that are known without looking, as `Guidance` has them.
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
        guidance=Guidance("json_schema", source, tuple(constants)),
        perceivers=context.perceivers,
        language=context.language,
    )
