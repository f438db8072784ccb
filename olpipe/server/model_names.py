"""Names of models in requests. Each route of Ollama says in words of its own what is wrong with one."""

from __future__ import annotations

from olpipe.errors import InvalidName, OlpipeError
from olpipe.model import ModelName


def named(text: str, wrong: OlpipeError) -> ModelName:
    """Return the name that a text is.

    Args:
        text: The text, as a client wrote it.
        wrong: The error to raise where it is none.

    Raises:
        OlpipeError: `wrong`, with a hint.
    """
    try:
        return ModelName.parse(text)
    except InvalidName as error:
        wrong.hint = wrong.hint or error.hint
        raise wrong from error
