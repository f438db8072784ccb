"""The two sides that `vision.py` compares: olpipe's engine, and llama.cpp's server."""

from __future__ import annotations

import base64
import json
import re
import tempfile
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from llama_server import LlamaServer
from vision_material import PROMPT, Document

from olpipe.default_plugins.executors.local import AHEAD
from olpipe.engine.manager import Engine
from olpipe.generation import GenerateRequest, Guidance, SamplingParams
from olpipe.imaging.decode import decode
from olpipe.messages import ImagePart, Message, Part, TextPart
from olpipe.model import MEDIA_TYPE, LoadOptions, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library

CONTEXT = 1024
FOR_EVER = -1.0
TIMEOUT_S = 3600
# Random weights repeat the likeliest token for ever, and olpipe ends a text that repeats itself. So tokens are sampled.
SAMPLING: dict[str, Any] = {"temperature": 1.0, "top_k": 40, "top_p": 1.0, "min_p": 0.0, "seed": 1}
STAGES = ("fit", "tower", "prefill", "decode", "waiting")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        text: What was written.
        prompt_tokens: Tokens of the prompt, those of the image included.
        tokens: Tokens of the answer.
        forwards: How many of them were picked by the model. The others were known.
        stages: Seconds by stage. None stands for a stage that a side does not tell apart.
    """

    text: str
    prompt_tokens: int
    tokens: int
    forwards: int
    stages: dict[str, float | None] = field(default_factory=dict)


class Side(ABC):
    """A loaded model that answers. Use it as a context manager."""

    name: str
    slots: int

    @property
    @abstractmethod
    def pid(self) -> int:
        """The process that has the model."""

    @abstractmethod
    def answer(self, photo: bytes | None, document: Document) -> Answer:
        """Answer about one photo, or without a photo. Several threads may call it."""

    def batch(self, photos: Iterable[bytes], document: Document) -> list[Answer]:
        """Answer about photos, as many at a time as there are slots, and have a few more in waiting."""
        with ThreadPoolExecutor(self.slots + AHEAD) as pool:
            return list(pool.map(lambda photo: self.answer(photo, document), photos))

    @abstractmethod
    def close(self) -> None:
        """Unload the model."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Olpipe(Side):
    """olpipe's engine, with the model in a process of its own, as a batch has it."""

    name = "olpipe"

    def __init__(self, model: str, settings: Settings, *, slots: int, image_tokens: int, threads: int) -> None:
        self.slots, self._model = slots, model
        self._plugins = Plugins.load(settings)
        # A process that is replaced in the middle would change the times
        settings = replace(settings, threads=threads, memory_limit=1 << 20)
        self._engine = Engine(library(settings), self._plugins, settings)
        self._options = LoadOptions(slots=slots, image_tokens=image_tokens, context_length=CONTEXT * slots)
        info = self._engine.load(model, keep_alive_s=FOR_EVER, options=self._options).result()
        self._pixels = info.fit_pixels

    @property
    def pid(self) -> int:
        (loaded,) = self._engine.loaded()
        assert loaded.pid is not None
        return loaded.pid

    def answer(self, photo: bytes | None, document: Document) -> Answer:
        parts: list[Part] = [TextPart(PROMPT)]
        if photo is not None:
            image = decode(photo, ".jpg", self._plugins.image_loaders, sizes=(self._pixels,))
            parts.insert(0, ImagePart(image))
        sampling = SamplingParams(**SAMPLING, max_tokens=document.max_tokens, logit_bias=tuple(document.biases.items()))
        guidance = Guidance("json_schema", document.schema) if document.schema else None
        request = GenerateRequest(self._model, (Message("user", tuple(parts)),), sampling, guidance, perceivers=())
        found = self._engine.submit(request, keep_alive_s=FOR_EVER, options=self._options).completion()
        times, usage = found.timings, found.usage
        spent = (times.fit_ns, times.encode_ns, times.prompt_ns, times.decode_ns, times.queue_ns)
        stages: dict[str, float | None] = {
            stage: nanoseconds / 1e9 for stage, nanoseconds in zip(STAGES, spent, strict=True)
        }
        tokens = usage.sampled_tokens + usage.forced_tokens
        return Answer(found.text, usage.prompt_tokens, tokens, usage.sampled_tokens, stages)

    def close(self) -> None:
        self._engine.close()


class LlamaCpp(Side):
    """llama.cpp's server, in a process of another interpreter."""

    name = "llama.cpp"
    _ENCODED = re.compile(r"(?:encoded|processed) in (\d+) ms")

    def __init__(
        self, python: Path, files: tuple[Path, Path], *, slots: int, image_tokens: int, threads: int, flash: str
    ) -> None:
        self.slots = slots
        wanted = {
            "model": str(files[0]), "projector": str(files[1]), "slots": slots, "context": CONTEXT,
            "image_tokens": image_tokens, "threads": threads, "flash_attention": flash, "verbosity": 4,
        }  # fmt: skip
        self._log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115 - `close` closes it
        self._server = LlamaServer(python, wanted, self._log.file)

    @property
    def pid(self) -> int:
        return self._server.pid

    def logged(self) -> str:
        """Return what the server has logged so far."""
        self._log.seek(0)
        return self._log.read()

    def encode_seconds(self) -> list[float]:
        """Return how long the vision encoder took for each image so far."""
        return [int(found) / 1e3 for found in self._ENCODED.findall(self.logged())]

    def answer(self, photo: bytes | None, document: Document) -> Answer:
        parts: list[dict[str, Any]] = [{"type": "text", "text": PROMPT}]
        if photo is not None:
            url = f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}"
            parts.insert(0, {"type": "image_url", "image_url": {"url": url}})
        body: dict[str, Any] = {
            "messages": [{"role": "user", "content": parts}],
            "max_tokens": document.max_tokens,
            **SAMPLING,
            "cache_prompt": False,
            "logit_bias": [[token, bias] for token, bias in document.biases.items()],
        }
        if document.schema:
            schema = {"name": "record", "strict": True, "schema": json.loads(document.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        found = self._post("/v1/chat/completions", body)
        usage, times = found["usage"], found["timings"]
        # Its prompt time has the vision encoder in it
        stages = {"prefill": times["prompt_ms"] / 1e3, "decode": times["predicted_ms"] / 1e3}
        text = found["choices"][0]["message"]["content"] or ""
        tokens = usage["completion_tokens"]
        return Answer(text, usage["prompt_tokens"], tokens, tokens, dict(stages))

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(self._server.address + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"llama.cpp's server refused: {error.read().decode()[:500]}") from error

    def close(self) -> None:
        self._server.close()
        self._log.close()


def library(settings: Settings) -> Library:
    """Return the models on this machine."""
    return Library(settings.models_folder, cache=settings.home / "cache")


def add_model(name: str, files: tuple[Path, Path], settings: Settings, precision: str) -> None:
    """Put a text model and its vision encoder into olpipe's store."""
    store = library(settings)
    config = ModelConfig(
        model_format="gguf", capabilities=("completion", "vision"), conversion={"precision": precision}
    )
    kinds = ("model", "projector")
    layers = [
        replace(store.add_file(path), name=f"{kind}.gguf", media_type=MEDIA_TYPE + kind)
        for kind, path in zip(kinds, files, strict=True)
    ]
    store.commit(ModelName.parse(name), config, layers)
