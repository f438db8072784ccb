"""Check a wish for a number of image tokens."""

from __future__ import annotations

from olpipe.errors import UsageError
from olpipe.model import ModelBundle


def check_image_tokens(bundle: ModelBundle, image_tokens: int, *, hint: str) -> None:
    """Refuse a number of image tokens for a model that does not see. Perceivers have no such number.

    Args:
        bundle: The model.
        image_tokens: Most tokens that one image becomes; 0 where nothing was asked for.
        hint: How to take the wish back.

    Raises:
        UsageError: The model does not see images, and a number was asked for.
    """
    if image_tokens and "vision" not in bundle.config.capabilities:
        raise no_image_tokens(str(bundle.name), image_tokens, hint=hint)


def no_image_tokens(model: str, image_tokens: int, *, hint: str) -> UsageError:
    """Return the error for a number of image tokens and a model that does not see."""
    return UsageError(f"model `{model}` does not see images, so no image becomes {image_tokens} tokens", hint=hint)
