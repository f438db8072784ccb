"""How much one question may ask. What is beyond is refused before a model sees it."""

from __future__ import annotations

from olpipe.messages import TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.server.question import Question, VectorQuestion
from olpipe.server.refusal import Refusal
from olpipe.settings import Settings


def check_question(settings: Settings, question: Question) -> None:
    """Refuse a question with too many images or too much text.

    Raises:
        Refusal: There are too many of either.
    """
    images = len(question.images)
    if images > settings.max_images:
        hint = "send fewer, or raise OLPIPE_MAX_IMAGES"
        raise Refusal(400, f"the request has {images} images, more than {settings.max_images}", hint=hint)
    characters = sum(_length(part) for turn in question.turns for part in turn.parts)
    tools = sum(len(tool.name) + len(tool.description) + len(tool.parameters) for tool in question.wishes.tools)
    check_text(settings, characters + tools + len(question.wishes.suffix or ""))


def check_texts(settings: Settings, question: VectorQuestion) -> None:
    """Refuse a request for the vectors of too many texts, or of texts that are too long together.

    Raises:
        Refusal: They are.
    """
    if len(question.texts) > settings.max_texts:
        hint = "send them in several requests, or raise OLPIPE_MAX_TEXTS"
        message = f"the request has {len(question.texts)} texts, more than {settings.max_texts}"
        raise Refusal(400, message, hint=hint)
    check_text(settings, sum(map(len, question.texts)))


def check_text(settings: Settings, characters: int) -> None:
    """Refuse a request with too much text.

    Raises:
        Refusal: It has too much.
    """
    if characters > settings.max_prompt:
        hint = "send less, or raise OLPIPE_MAX_PROMPT"
        message = f"the request has {characters:,} characters of text, more than {settings.max_prompt:,}"
        raise Refusal(400, message, hint=hint)


def _length(part: object) -> int:
    match part:
        case TextPart() | ThinkingPart():
            return len(part.text)
        case ToolCallPart():
            return len(part.name) + len(part.arguments)
        case ToolResultPart():
            return len(part.text)
        case _:
            return 0
