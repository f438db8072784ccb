"""Which photos can be decoded, what is found in them without a language model, and in which languages."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from functools import partial

from olpipe.checkup.report import Section, attempt
from olpipe.checkup.runtimes import installed
from olpipe.interfaces import Perceiver
from olpipe.plugins import Plugins
from olpipe.store.library import Library

_ALWAYS = ("GIF", "BMP", "PNM", "TGA", "QOI", "PCX")
_CODECS = {"JPEG": "jpg", "PNG": "zlib", "WebP": "webp", "TIFF": "libtiff", "AVIF": "avif", "JPEG 2000": "jpg_2000"}
"""Formats that Pillow reads where it was built with a library, and what Pillow calls that library."""

_SHIPPED = ("pillow", "heif", "raw")
"""The loaders that ship with olpipe."""


def check_images(section: Section, plugins: Plugins) -> None:
    """Fill a section about image formats and perceivers."""
    attempt(section, "formats", lambda: _check_formats(section))
    for name, package, extra in (("HEIC", "pillow-heif", "heif"), ("RAW", "rawpy", "raw")):
        _check_extra(section, name, package, extra)
    for loader in plugins.image_loaders:
        if loader.name not in _SHIPPED:
            section.add(loader.name, f"reads {', '.join(loader.suffixes) or 'what it recognises'}", "ok")
    section.facts["suffixes"] = sorted({suffix for loader in plugins.image_loaders for suffix in loader.suffixes})
    section.facts["perceivers"] = []
    for perceiver in plugins.perceivers:
        attempt(section, perceiver.name, partial(_check_perceiver, section, perceiver))
    if not section.facts["perceivers"]:
        section.add("perceivers", "none: no plugin that is loaded brings one")


def check_languages(section: Section, plugins: Plugins, library: Library) -> None:
    """Add to a section which languages models write, and into which ones the names of perceivers are translated."""
    spoken: dict[str, list[str]] = {}
    for model in library.stored():
        if model.config.languages:
            spoken[str(model.name)] = sorted(model.config.languages)
    for perceiver in plugins.perceivers:
        attempt(section, perceiver.name, partial(_check_translations, spoken, perceiver))
    section.facts["languages"] = spoken
    for who, languages in spoken.items():
        section.add("languages", f"{who}: {_shortened(languages)}")
    if not spoken:
        section.add("languages", "no model and no perceiver says which ones it knows")


def _check_translations(spoken: dict[str, list[str]], perceiver: Perceiver) -> None:
    spoken[f"the names of {perceiver.name}"] = sorted({"en", *perceiver.translations()})


def _check_formats(section: Section) -> None:
    from PIL import features

    missing = [name for name, codec in _CODECS.items() if not features.check(codec)]
    section.facts["formats"] = [name for name in (*_CODECS, *_ALWAYS) if name not in missing]
    section.add("formats", ", ".join(section.facts["formats"]), "ok")
    if missing:
        section.add("formats", f"this Pillow was built without {', '.join(missing)}", "note")
        section.advise("pip install --force-reinstall --no-deps pillow", f"Its wheels read {', '.join(missing)}.")


def _check_extra(section: Section, name: str, package: str, extra: str) -> None:
    there = importlib.util.find_spec(package.replace("-", "_")) is not None
    section.facts[name.lower()] = there
    version = next(iter(installed([package]).values()), "without a version")
    text = f"read with {package} {version}" if there else f"not read: `pip install 'olpipe[{extra}]'` changes that"
    section.add(name, text, "ok" if there else "")


def _check_perceiver(section: Section, perceiver: Perceiver) -> None:
    section.facts["perceivers"].append({"name": perceiver.name, "version": perceiver.version})
    section.add("perceiver", f"{perceiver.name}, version {perceiver.version}", "ok")


def _shortened(names: Iterable[str], most: int = 12) -> str:
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
