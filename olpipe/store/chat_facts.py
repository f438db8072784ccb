"""What the files of a model say about how to talk with it, kept so that nobody has to read the files again.

    <cache>/chat/<64 hex digits>.json

The file has the chat templates themselves, not what follows from them. So a newer olpipe may conclude more from them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from olpipe.errors import ModelError, StoreError
from olpipe.families.markers import abilities
from olpipe.families.template_language import is_jinja
from olpipe.model import CAPABILITIES, ModelConfig
from olpipe.store import digests
from olpipe.store.manifest import MAX_BYTES
from olpipe.store.package_checks import CONFIG_NAME
from olpipe.store.writing import new_file, writing

logger = logging.getLogger(__name__)

VERSION = 1
"""It changes when other things are read from a model's files than before."""

_TOKENIZER = "tokenizer.json"
_TEMPLATE_FILES = re.compile(
    r"(?:tokenizer_config|special_tokens_map|chat_template)\.json|(?:additional_chat_templates/[^/]+|chat_template)\.jinja"
)
_USUAL = ModelConfig().capabilities

Files = Mapping[str, tuple[Path, int]]
"""The blob and its size in bytes for each file of a model, by the file's name in the model's folder."""


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """What the files of a model say.

    Attributes:
        templates: Its chat templates, the usual one first.
        fills_gaps: Whether it has the tokens that mark a gap in a text.
        sees: Whether it has a vision encoder.
        embeds: Whether it makes vectors and no answers.
    """

    templates: tuple[str, ...] = ()
    fills_gaps: bool = False
    sees: bool = False
    embeds: bool = False

    def capabilities(self, known: Iterable[str] = _USUAL) -> tuple[str, ...]:
        """Return what the model can do.

        Args:
            known: What its manifest says it can do.
        """
        found = set(known)
        if self.embeds:
            return tuple(name for name in CAPABILITIES if name in (found - set(_USUAL)) | {"embedding"})
        if "completion" in found:
            found |= set(abilities(*self.templates))
            found |= {name for name, has in (("vision", self.sees), ("insert", self.fills_gaps)) if has}
        others = [name for name in known if name not in CAPABILITIES]  # a plugin may have words of its own
        return (*(name for name in CAPABILITIES if name in found), *others)


class ChatFactsCache:
    """The facts about the models of one store."""

    def __init__(self, cache: Path) -> None:
        """Use a cache. Nothing is created before something is kept."""
        self._folder = cache / "chat"
        self._known: dict[str, ChatFacts] = {}

    def about(self, digest: str, config: ModelConfig, files: Files) -> ChatFacts:
        """Return the facts about a model. Its files are read only where nobody has read them before.

        Args:
            digest: `sha256:…` of its manifest.
            config: Its description.
            files: Its files.
        """
        if digest not in self._known:
            kept = self._kept(digest)
            if kept is None and (kept := read(config, files)) is not None:
                self._keep(digest, kept)
            if kept is None:
                return ChatFacts()  # what is damaged may be repaired
            self._known[digest] = kept
        return self._known[digest]

    def discard(self, digest: str) -> None:
        """Forget a model."""
        self._known.pop(digest, None)
        self._path(digest).unlink(missing_ok=True)

    def of_others(self, models: Collection[str], *, before: float) -> Iterator[Path]:
        """Yield the files about models that are not here, where they are older than a time."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if f"sha256:{path.stem}" not in models and path.lstat().st_mtime < before:
                yield path

    def _kept(self, digest: str) -> ChatFacts | None:
        try:
            value: dict[str, Any] = json.loads(self._path(digest).read_bytes())
            if value.pop("version") != VERSION:
                return None
            return ChatFacts(**value | {"templates": tuple(map(str, value["templates"]))})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _keep(self, digest: str, facts: ChatFacts) -> None:
        try:
            with writing(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                handle, fresh = new_file(self._folder, ".new-")
                try:
                    with os.fdopen(handle, "wb") as file:
                        file.write(orjson.dumps({"version": VERSION, **asdict(facts)}))
                    os.replace(fresh, self._path(digest))
                finally:
                    fresh.unlink(missing_ok=True)
        except (OSError, StoreError) as error:  # a cache that cannot be written costs time, and nothing else
            logger.debug("what the files of %s say is not kept: %s", digest, error)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digests.hex_of(digest)}.json"


def read(config: ModelConfig, files: Files) -> ChatFacts | None:
    """Read the header of a GGUF file, or the small files of a package; None where they are damaged."""
    try:
        if config.model_format == "gguf":
            return _from_gguf(files)
        is_folder = config.model_format == "safetensors" and "completion" in config.capabilities
        return _from_package(files) if CONFIG_NAME in files or is_folder else ChatFacts()
    except (ModelError, OSError, ValueError) as error:
        logger.debug("it is not known what a model can do: %s", error)
        return None


def with_template(facts: ChatFacts, template: str) -> ChatFacts:
    """Return the same facts for a model whose manifest has a template, where that is used (`TemplateFiles.instead`)."""
    is_used = template and (is_jinja(template) or not facts.templates)
    return replace(facts, templates=(template,)) if is_used else facts


def _from_gguf(files: Files) -> ChatFacts:
    from olpipe.convert.architectures import PROJECTOR_FILE
    from olpipe.convert.gguf import read_header
    from olpipe.convert.special_tokens import TokenKind
    from olpipe.convert.vision_file import has_vision
    from olpipe.families.gaps import marks_gaps

    weights = [path for name, (path, _) in files.items() if name.endswith(".gguf") and name != PROJECTOR_FILE]
    if not weights:
        return ChatFacts()
    header = read_header(weights[0])
    template = header.metadata.get("tokenizer.chat_template", "")
    found = (header.metadata.get(f"tokenizer.ggml.{key}") for key in ("tokens", "token_type"))
    tokens, kinds = (value if isinstance(value, tuple) else () for value in found)
    marks = (TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.UNKNOWN)
    added = {token for token, kind in zip(tokens, kinds, strict=False) if kind in marks}
    return ChatFacts(
        templates=(template,) if isinstance(template, str) and template else (),
        fills_gaps=marks_gaps(added),
        sees=PROJECTOR_FILE in files or has_vision(header),
        embeds=f"{header.architecture}.pooling_type" in header.metadata,
    )


def _from_package(files: Files) -> ChatFacts:
    """Read the chat template of a package, and the tokens that were added to its vocabulary."""
    from olpipe.families.chat_template import TemplateFiles
    from olpipe.families.gaps import marks_gaps

    with tempfile.TemporaryDirectory(prefix="olpipe-") as folder:
        for name, (path, size) in files.items():
            if _TEMPLATE_FILES.fullmatch(name) and size <= MAX_BYTES:
                target = Path(folder, *name.split("/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        found = TemplateFiles.read(Path(folder))
    templates = () if found.is_plain else tuple(filter(None, (found.source, found.tool_source)))
    return ChatFacts(templates, marks_gaps(_added_tokens(files)))


def _added_tokens(files: Files) -> set[str]:
    if _TOKENIZER not in files:
        return set()
    value = orjson.loads(files[_TOKENIZER][0].read_bytes())
    added = value.get("added_tokens") if isinstance(value, dict) else None
    return {
        str(token.get("content")) for token in (added if isinstance(added, list) else ()) if isinstance(token, dict)
    }
