"""Which models llama.cpp runs, and the files that olpipe needs beside a GGUF file.

Every command imports this module, so what is heavy is imported inside methods.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from olpipe.convert.architectures import ADAPTER_FILE, ENCODERS, GGUF_ADAPTER_FILE, PROJECTOR_FILE
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.interfaces import Backend, Family, Progress, ProgressCallback, Runner
from olpipe.model import LoadOptions, ModelBundle

FORMAT = "llamacpp-1"
"""The folder of what is built. An upgrade that changes the files changes the name, too."""

SIZES = "sizes.json"
"""What is built last: the numbers that the runner needs. Where it is, the other files are complete."""


class LlamaCppBackend(Backend):
    """Runs a GGUF file as it is, one sequence at a time."""

    name = "llamacpp"
    version = "1"
    architectures = None
    """llama.cpp knows the architectures, and only says whether it runs a file when it loads it."""

    def refuses(self, bundle: ModelBundle) -> str | None:
        """Say why llama.cpp cannot run a model, by the header of its file."""
        from olpipe.convert.gguf import read_header
        from olpipe.convert.tokenizer import read_tokenizer

        source = source_of(bundle)
        if source is None:
            return "it has no .gguf file"
        if (bundle.path / ADAPTER_FILE).is_file():
            return "its adapter is in safetensors, and llama.cpp applies adapters in GGUF only"
        try:
            header = read_header(source)
            if header.architecture in ENCODERS:
                return "it makes embeddings, which the backend `onnx` does"
            if header.architecture == "clip":
                return "it is a projector without its text model"
            read_tokenizer(header)
        except (ModelCorrupt, ModelUnsupported) as error:
            return error.message.replace(f"`{source}`", "the file")
        return None

    def family_of(self, bundle: ModelBundle) -> Family | None:
        """Return the family of a model that sees, where it is one that olpipe knows."""
        from olpipe.families.vision_part import find_vision

        source, projector = source_of(bundle), bundle.path / PROJECTOR_FILE
        if source is None or not projector.is_file():
            return None
        try:
            part = find_vision(source, projector, self.families)
        except (ModelCorrupt, ModelUnsupported):
            return None
        return None if part is None else part.family

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Write the tokenizer and the sizes of a model into `bundle.cache`. Its weights stay where they are."""
        source, folder = source_of(bundle), bundle.cache / FORMAT
        if source is None or (folder / SIZES).is_file():
            return
        progress(Progress("reading the tokenizer"))
        unfinished = bundle.cache / f"{FORMAT}-{os.getpid()}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            _write(source, unfinished)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load a model into this process."""
        from olpipe_llamacpp.runner import open_runner

        source = source_of(bundle)
        if source is None:
            raise ModelCorrupt(f"`{bundle.name}` has no .gguf file", hint=f"run `olpipe pull {bundle.name}`")
        adapter, projector = bundle.path / GGUF_ADAPTER_FILE, bundle.path / PROJECTOR_FILE
        family = self.family_of(bundle)
        return open_runner(
            source,
            bundle,
            options,
            adapter=adapter if adapter.is_file() else None,
            projector=projector if projector.is_file() else None,
            boxes=None if family is None else family.boxes,
        )


def source_of(bundle: ModelBundle) -> Path | None:
    """Return the GGUF file of the text model; None where there is none."""
    beside = (PROJECTOR_FILE, GGUF_ADAPTER_FILE)
    return next((path for path in sorted(bundle.path.glob("*.gguf")) if path.name not in beside), None)


def _write(source: Path, folder: Path) -> None:
    """Write what olpipe's decoder and chat templates need to know of a GGUF file.

    Raises:
        ModelCorrupt: The file is damaged.
        ModelUnsupported: Its tokenizer cannot be reproduced.
    """
    from olpipe.convert.gguf import read_header
    from olpipe.convert.tokenizer import read_tokenizer, tokenizer_config, tokenizer_json

    header = read_header(source)
    tokenizer = read_tokenizer(header)
    sizes = {"context_length": header.context_length, "end_tokens": list(tokenizer.special.ends)}
    for name, content in (
        ("tokenizer.json", tokenizer_json(tokenizer)),
        ("tokenizer_config.json", tokenizer_config(tokenizer, header.context_length)),
        (SIZES, sizes),
    ):
        _write_json(folder / name, content)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
