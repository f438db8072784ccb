"""Models as values: names, what is stored of one, and what a loaded one can do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from olpipe.errors import InvalidName
from olpipe.image import BoxDialect
from olpipe.languages import choose
from olpipe.messages import Message

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, slots=True, order=True)
class ModelName:
    """A model's name: `MODEL`, `NAMESPACE/MODEL` or `HOST/NAMESPACE/MODEL`, with `:TAG` or without, as in Ollama.

    A name on a host needs a namespace. Capitals in a host mean nothing.

    Source: https://github.com/ollama/ollama/blob/main/types/model/name.go

    Attributes:
        host: The registry that it comes from.
        namespace: Who publishes it there.
        model: The name without the other parts.
        tag: Which variant of the model it is.
    """

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name, filling in the default host, namespace and tag.

        Raises:
            InvalidName: The text is not a name, or a part of it could leave the store.
        """
        rest, tag = text, DEFAULT_TAG
        colon = text.rfind(":")
        if colon > text.rfind("/"):
            rest, tag = text[:colon], text[colon + 1 :]
        parts = rest.split("/")
        if len(parts) > 3:
            raise InvalidName(f"`{text}` is not a model name", hint="names look like `namespace/model:tag`")
        host, namespace, model = [*(DEFAULT_HOST, DEFAULT_NAMESPACE)[: 3 - len(parts)], *parts]
        checks = ((_HOST, host), (_NAMESPACE, namespace), (_MODEL, model), (_MODEL, tag))
        if not all(pattern.fullmatch(part) for pattern, part in checks):
            raise InvalidName(f"`{text}` is not a model name", hint="names look like `namespace/model:tag`")
        return cls(host, namespace, model, tag)

    def __str__(self) -> str:
        """Return the shortest spelling that still has the tag in it."""
        prefix = "" if self.host == DEFAULT_HOST else f"{self.host}/"
        if prefix or self.namespace != DEFAULT_NAMESPACE:
            prefix += f"{self.namespace}/"
        return f"{prefix}{self.model}:{self.tag}"


CAPABILITIES = ("completion", "vision", "tools", "thinking", "insert", "embedding")
"""What a model may be able to do: write answers, see photos, call tools, think before it answers, fill in text between
a prompt and a suffix, turn texts into vectors."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The config layer of a manifest: what kind of package the layers are.

    Attributes:
        model_format: What the files are: `gguf`, `onnx`, or a name of a plugin's own.
        model_family: The architecture: `llama`, …
        model_type: The number of parameters as people write it: `135M`.
        file_type: The quantisation: `Q4_1`, `int4`, …
        context_length: Tokens of prompt plus answer; 0 when not known.
        embedding_length: Width of the model; 0 when not known.
        capabilities: What the model does, by the names in `CAPABILITIES`. What its chat template and its tokens show is
            added when a model is read from the store, so manifests need not say it.
        perceivers: Names of the perceivers whose evidence joins every request to this model.
        languages: Languages that it writes, as BCP 47 tags; empty when not known.
        prompts: The only prompts about photos that it was trained to answer; empty when it follows any.
        conversion: Choices for the conversion into a runnable package, like `{"precision": "int4"}`.
    """

    model_format: str = ""
    model_family: str = ""
    model_type: str = ""
    file_type: str = ""
    context_length: int = 0
    embedding_length: int = 0
    capabilities: tuple[str, ...] = ("completion",)
    perceivers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    conversion: Mapping[str, Any] = field(default_factory=dict)

    def writes(self, language: str) -> bool:
        """Say whether the model may be asked to write a language: yes if its languages are not known."""
        return not self.languages or choose(language, self.languages) is not None


MEDIA_TYPE = "application/vnd.ollama.image."
"""What the media types of a model's layers begin with."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of a model, as its manifest names it.

    Attributes:
        digest: `sha256:<64 hex digits>` of the bytes.
        size: Bytes.
        media_type: `MEDIA_TYPE` plus `model`, `adapter`, `license`, `card`, `system`, `params`, `projector`, …
        name: The file's path inside the model's folder, with forward slashes; empty for texts.
        origin: The name of the model that it was taken from, where a model was made from another one.
    """

    digest: str
    size: int
    media_type: str = MEDIA_TYPE + "model"
    name: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """A model on this machine, laid out so that a backend can open it.

    Attributes:
        name: Its name.
        digest: `sha256:…` of its manifest.
        path: Folder with the model's files under their own names. Read only.
        cache: Folder where a backend keeps what it builds from these files; may be emptied at any time.
        config: What kind of package it is.
        system: A system message for conversations that have none, or empty.
        parameters: Default sampling parameters, in Ollama's spelling (`temperature`, `num_predict`, …).
        licenses: Texts of the licences.
        card: The model card: what it was made from, how well it does, where it fails; Markdown, or empty.
        size_bytes: Size of all layers.
        messages: Turns that open every conversation, such as examples of good answers.
        template: A chat template of the manifest; empty where there is none. One in Jinja takes the place of the files'
            own. One in Go's language is used where the files have none.
    """

    name: ModelName
    digest: str
    path: Path
    cache: Path
    config: ModelConfig = field(default_factory=ModelConfig)
    system: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    licenses: tuple[str, ...] = ()
    card: str = ""
    size_bytes: int = 0
    messages: tuple[Message, ...] = ()
    template: str = ""


FULL_CACHE = "f16"
"""The type of a KV cache that has the precision of the model's own graph, which is float32 in what olpipe converts."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        threads: CPU threads for one forward; 0 lets the backend choose.
        context_length: Upper limit for prompt plus answer in tokens; 0 takes the model's own.
        slots: Most sequences to decode side by side; 0 lets the backend choose.
        backend: Name of the backend that runs it; empty takes the first that can.
        image_tokens: Most tokens that one image becomes; 0 takes the model's usual number.
        device: What computes: `cpu`, `cuda` or `directml`; empty lets the backend choose.
        cache_type: How keys and values are kept: `f16` stands for the precision of the model's own graph, `q8_0` and
            `q4_0` for eight and four bits; empty means `f16`. A backend that cannot do this ignores it.
    """

    threads: int = 0
    context_length: int = 0
    slots: int = 0
    backend: str = ""
    image_tokens: int = 0
    device: str = ""
    cache_type: str = ""


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """What a loaded model can do. The engine refuses requests that ask for more.

    Attributes:
        context_length: Tokens of prompt plus answer, or of one text that is embedded.
        slots: Sequences that it decodes side by side; 1 for most.
        fit_pixels: Pixels of a photo that it can use. Larger photos are scaled down to this. 0 for a model that does
            not see.
        generates: Whether it writes answers.
        guidance: Whether it holds answers to a schema or a grammar.
        embeds: Whether it turns texts into vectors.
        boxes: How a model that sees was trained to say where something is. Where it says pixels, its last chunks have
            `shown`. None means that it was not trained to. It is not asked for boxes then: they would be guesses.
        cache_type: How it keeps keys and values, as `LoadOptions` names it.
        cache_reason: Why it does not keep them as the options ask, in a few words. It may be empty.
    """

    context_length: int
    slots: int = 1
    fit_pixels: int = 0
    generates: bool = True
    guidance: bool = True
    embeds: bool = False
    boxes: BoxDialect | None = None
    cache_type: str = FULL_CACHE
    cache_reason: str = ""

    def ignored(self, options: LoadOptions, backend: str) -> str:
        """Return why the cache is not of the type that options ask for, in a few words; empty where it is."""
        if not self.generates or options.cache_type in ("", self.cache_type):
            return ""
        return self.cache_reason or f"the backend `{backend}` does not quantise the KV cache"
