"""Whether each model on this machine can run: whether it is whole, what runs it, and whether the memory is enough."""

from __future__ import annotations

from typing import Any

from olpipe import machine
from olpipe.checkup.condition import condition
from olpipe.checkup.memory import Estimate, estimate
from olpipe.checkup.report import Section, State
from olpipe.errors import ModelNotFound, StoreError
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.sizes import size
from olpipe.store.library import Library
from olpipe.store.sources import announced_by

FIRST = "photo-mini"
"""The model to begin with, where a plugin announces it."""

FROM_LIBRARY = "gemma3:4b"
"""The model to begin with otherwise: a small one of Ollama's library that sees."""


def check_models(section: Section, settings: Settings, library: Library, plugins: Plugins, *, extra: str) -> None:
    """Fill a section about models.

    Args:
        section: The section.
        settings: How models are loaded.
        library: The models.
        plugins: The backends that may run them.
        extra: The extra of olpipe that brings the runtimes for this machine.
    """
    section.facts["models"] = []
    for name in library.names():
        found: dict[str, Any] = {"model": str(name), "well": False}
        section.facts["models"].append(found)
        try:
            _check_model(section, found, name, (settings, library, plugins), extra=extra)
        except ModelNotFound:
            section.facts["models"].remove(found)  # it was removed meanwhile
        except StoreError as error:
            found["refused"] = error.message
            _damaged(section, name, error.message)
    if not section.facts["models"]:
        section.add("models", "there is none yet", "note")
        _advise_first(section, settings, plugins)


def _check_model(
    section: Section, found: dict[str, Any], name: ModelName, parts: tuple[Settings, Library, Plugins], *, extra: str
) -> None:
    """Say how a model is."""
    settings, library, plugins = parts
    seen = condition(name, library, plugins.backends)
    found |= seen.to_json()
    missing = [part.name for part in seen.parts if not part.is_here]
    if missing:
        _damaged(section, name, f"`{missing[0]}` is missing or cut short")
    elif not seen.backend:
        section.add(str(name), seen.refused, "fail")
        section.advise(f"olpipe show {name}", f"It says which backends there are, and why none runs `{name}`.")
    elif not seen.runtime_is_here:
        section.add(str(name), f"runs on {seen.backend}, whose runtime `{seen.runtime}` is not installed", "fail")
        section.advise(f"pip install 'olpipe[{extra}]'", "It installs the runtimes that run models.")
    else:
        needed = estimate(library.get(name), seen.backend, settings)
        available = machine.available_bytes()
        fits = needed.total <= available
        found["memory"] = {
            "weights": needed.weights,
            "cache": needed.cache,
            "context": needed.context or None,
            "estimate": needed.total,
            "fits": fits,
        }
        state: State = "ok" if fits else "note"
        short = "" if fits else f", and only {size(available)} is available: it may not fit"
        section.add(str(name), f"runs on {seen.backend}, {_words(needed)}{short}", state)


def _words(needed: Estimate) -> str:
    """Return what a model needs in words."""
    if needed.cache is None:
        return f"needs {size(needed.weights)} for its weights, and more for keys and values"
    if not needed.cache:
        return f"needs about {size(needed.weights)}"
    cache = f"up to {size(needed.cache)} for keys and values of {needed.context} tokens"
    return f"needs about {size(needed.total)}: {size(needed.weights)} for its weights, {cache}"


def _damaged(section: Section, name: ModelName, why: str) -> None:
    section.add(str(name), f"damaged: {why}", "fail")
    section.advise(f"olpipe store repair {name}", f"`{name}` is damaged. It is fetched again from where it came.")


def _advise_first(section: Section, settings: Settings, plugins: Plugins) -> None:
    """Say which model to begin with."""
    sources = plugins.model_sources
    announced = {text for source in sources for text in announced_by(source, sources).values()}
    if FIRST in announced:
        section.advise(f"olpipe pull {FIRST}", "It brings a first model, a small one that runs on every machine.")
    elif settings.registry:
        section.advise(f"olpipe pull {FROM_LIBRARY}", "It brings a first model that sees, from Ollama's library.")
    else:
        section.advise("olpipe pull --help", "It says where models can come from. No registry is asked: it is off.")
