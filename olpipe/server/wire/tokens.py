"""Bodies about tokens: texts that are cut into tokens, and tokens that are joined to a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from olpipe.model import LoadOptions
from olpipe.server.bodies.fields import Fields
from olpipe.server.refusal import Refusal
from olpipe.server.wire.ollama import model_of, read_keep_alive
from olpipe.server.wire.ollama_options import read_options
from olpipe.tokens import DetokenizeRequest, TokenizeRequest, TokenRequest, Tokens


@dataclass(frozen=True, slots=True)
class TokenQuestion:
    """A request about tokens.

    Attributes:
        request: What is asked.
        options: How the model is loaded.
        keep_alive_s: How long the model stays loaded afterwards; None changes nothing.
    """

    request: TokenRequest
    options: LoadOptions
    keep_alive_s: float | None


Read = Callable[[Fields], TokenQuestion]


def read_tokenize(fields: Fields) -> TokenQuestion:
    """Read the body of /api/tokenize. The text may also be called `content` or `prompt`.

    Raises:
        Refusal: A field cannot be used.
    """
    given = next((name for name in ("text", "content", "prompt") if name in fields), None)
    if given is None:
        raise Refusal(400, "`text` is missing", hint="send the text to cut into tokens")
    return _question(fields, TokenizeRequest(_model(fields), fields.text(given), fields.flag("special")))


def read_detokenize(fields: Fields) -> TokenQuestion:
    """Read the body of /api/detokenize.

    Raises:
        Refusal: A field cannot be used.
    """
    if "tokens" not in fields:
        raise Refusal(400, "`tokens` is missing", hint="send a list of token ids")
    tokens = fields.items("tokens")
    for at, token in enumerate(tokens):
        if type(token) is not int or abs(token) >= 1 << 63:
            raise Refusal(400, f"`{fields.place('tokens')}[{at}]` must be the id of a token")
    return _question(fields, DetokenizeRequest(_model(fields), tuple(tokens), fields.flag("special")))


def tokenized(model: str, found: Tokens) -> dict[str, Any]:
    """Return the body of an answer of /api/tokenize."""
    return {"model": model, "tokens": list(found.tokens)}


def detokenized(model: str, found: Tokens) -> dict[str, Any]:
    """Return the body of an answer of /api/detokenize."""
    return {"model": model, "text": found.text}


def _model(fields: Fields) -> str:
    model = model_of(fields)
    if not model:
        raise Refusal(400, "model is required")
    return model


def _question(fields: Fields, request: TokenRequest) -> TokenQuestion:
    return TokenQuestion(request, read_options(fields.inner("options")).load, read_keep_alive(fields))
