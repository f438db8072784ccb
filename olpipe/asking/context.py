"""Choose how many tokens of prompt and answer a request may have, and with how many its model is loaded."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache

from olpipe.model import LoadOptions, ModelBundle
from olpipe.store import parameters

logger = logging.getLogger(__name__)

OWN_MEANS = "`num_ctx` and `truncate` are the request's own means"
"""What a server adds to what can be done about a prompt that is too long."""


def wanted_context(asked: int, bundle: ModelBundle) -> int:
    """Return most tokens of prompt plus answer of a request; 0 for as many as the loaded model holds.

    It is never more than the model's own limit, as in Ollama. The log says where less is given than was asked for, and
    the list of loaded models shows the number that holds.

    Args:
        asked: What the request asks for; 0 where it asks for nothing. Then the model's own parameter counts.
        bundle: The model.

    Raises:
        StoreError: The model's own parameter cannot be used.
    """
    wanted = asked or parameters.context_length(bundle.parameters)
    return within_limit(wanted, str(bundle.name), bundle.config.context_length)


def within_limit(wanted: int, model: str, longest: int) -> int:
    """Return so many tokens, or as many as a model holds at most. The log says where these are less.

    Args:
        wanted: How many are wanted.
        model: The model's name.
        longest: How many it holds; 0 where that is not known.
    """
    if wanted <= longest or not longest:
        return wanted
    _warn(model, wanted, longest)
    return longest


def load_options(options: LoadOptions, bundle: ModelBundle, *, usual: int) -> LoadOptions:
    """Return how a model is loaded for a request. A context that is not larger than usual loads nothing anew.

    Args:
        options: What the request asks for.
        bundle: The model.
        usual: The context length that models are loaded with; 0 for their own limit.

    Raises:
        StoreError: The model's own parameter cannot be used.
    """
    wanted = wanted_context(options.context_length, bundle)
    return replace(options, context_length=wanted if 0 < usual < wanted else 0)


@lru_cache(maxsize=1024)
def _warn(model: str, wanted: int, longest: int) -> None:
    """Say once for each model and number that there are not so many tokens."""
    logger.warning("a context of %d tokens was asked for, and `%s` holds %d: these are used", wanted, model, longest)
