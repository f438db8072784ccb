"""Requests about tokens, which need no answer of the model, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass

from olpipe.generation import GenerateRequest


@dataclass(frozen=True, slots=True)
class TokenizeRequest:
    """A text to cut into tokens.

    Attributes:
        model: The model's name.
        text: The text.
        special: Whether the spelling of a special token in the text becomes that token. If not, it is plain text.
    """

    model: str
    text: str
    special: bool = False


@dataclass(frozen=True, slots=True)
class DetokenizeRequest:
    """Tokens to join to a text.

    Attributes:
        model: The model's name.
        tokens: Their ids.
        special: Whether special tokens give their spelling. If not, they give no text.
    """

    model: str
    tokens: tuple[int, ...]
    special: bool = False


@dataclass(frozen=True, slots=True)
class CountRequest:
    """A request whose prompt is counted and not answered.

    Attributes:
        prompt: The request.
    """

    prompt: GenerateRequest

    @property
    def model(self) -> str:
        """The model's name."""
        return self.prompt.model


TokenRequest = TokenizeRequest | DetokenizeRequest | CountRequest
"""A request about tokens."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What comes back.

    Attributes:
        count: How many tokens there are.
        tokens: Their ids, where they were asked for.
        text: The text of the tokens, where that was asked for.
    """

    count: int
    tokens: tuple[int, ...] = ()
    text: str = ""
