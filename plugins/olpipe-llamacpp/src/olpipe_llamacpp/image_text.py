"""Find out what a chat template writes for an image."""

from __future__ import annotations

from typing import Any

from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ModelUnsupported
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.compiling import Compiled, compile_template

_QUESTION = {"type": "text", "text": "What is this?"}


def image_text(files: TemplateFiles, vocabulary: Vocabulary) -> str:
    """Return what the chat template writes for an image; empty for one that takes the content of messages as texts.

    A template that takes only parts is rendered with an image and without one. What is written more stands for it. The
    image comes last, because some templates write a space before a text that opens a message.

    Raises:
        ModelCorrupt: The template is not valid.
        ModelUnsupported: It writes nothing for an image, or something that any user could write.
    """
    template = compile_template(files.source, files.special_tokens)
    if template.shape.takes_texts:
        return ""
    blind, seeing = (_rendered(template, parts) for parts in ([_QUESTION], [_QUESTION, {"type": "image"}]))
    # The text behind may begin with the same characters as what is written more, so there may be several places to cut.
    longer = len(seeing) - len(blind)
    starts = (at for at in range(len(blind) + 1) if longer > 0 and seeing[:at] + seeing[at + longer :] == blind)
    for text in (seeing[at : at + longer].strip() for at in starts):
        if vocabulary.special_in([text]):
            return text
    raise ModelUnsupported("the model's chat template writes no special token for an image")


def _rendered(template: Compiled, parts: list[dict[str, str]]) -> str:
    turn: dict[str, Any] = {"role": "user", "content": parts}
    return template.render([turn], tools=[], think=None)
