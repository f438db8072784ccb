"""Show the tokens of a vocabulary: cut texts into tokens, and join tokens to texts."""

from __future__ import annotations

from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import UsageError
from olpipe.tokens import DetokenizeRequest, TokenizeRequest


def tokenize(vocabulary: Vocabulary, request: TokenizeRequest) -> tuple[int, ...]:
    """Return the tokens of a text, as they stand in a prompt.

    Without `special`, the spelling of a special token is plain text, as it is in the messages of a conversation.
    """
    return tuple(vocabulary.encode(request.text if request.special else vocabulary.quote(request.text)))


def detokenize(vocabulary: Vocabulary, request: DetokenizeRequest) -> str:
    """Return the text of tokens.

    Some models were trained with a space before each text. This space is left out.

    Raises:
        UsageError: A token does not exist.
    """
    unknown = [token for token in request.tokens if not 0 <= token < vocabulary.size]
    if unknown:
        raise UsageError(f"`{request.model}` has the tokens 0 to {vocabulary.size - 1}, and no token {unknown[0]}")
    visible = vocabulary.added_tokens if request.special else ()
    text = vocabulary.bytes_of(request.tokens, visible=visible).decode(errors="replace")
    begun = vocabulary.bytes_of(vocabulary.encode("a")).decode(errors="replace")
    return text.removeprefix(begun.removesuffix("a"))
