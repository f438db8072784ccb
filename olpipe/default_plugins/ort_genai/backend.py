"""Find, build and load packages for ONNX Runtime GenAI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import mkdtemp

from olpipe.errors import ModelCorrupt
from olpipe.interfaces import Backend, ProgressCallback, Runner
from olpipe.model import LoadOptions, ModelBundle

GENAI_CONFIG = "genai_config.json"


class OrtGenaiBackend(Backend):
    """Runs ONNX Runtime GenAI packages as they are, and GGUF files of known architectures after conversion."""

    name = "ort-genai"

    def can_load(self, bundle: ModelBundle) -> bool:
        """Look for a package, or for a GGUF file whose architecture the manifest says we convert."""
        if (bundle.path / GENAI_CONFIG).is_file():
            return True
        from olpipe.convert.architectures import ARCHITECTURES

        return _gguf(bundle) is not None and bundle.config.model_family in ARCHITECTURES

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Convert a GGUF file, with the adapter that lies beside it, into a package.

        It is made in a folder beside its final place, which is then renamed.
        """
        gguf = _gguf(bundle)
        package = package_folder(bundle)
        if gguf is None or (package / GENAI_CONFIG).is_file():
            return
        from olpipe.convert.architectures import ADAPTER_FILE
        from olpipe.convert.package import convert_gguf

        adapter = bundle.path / ADAPTER_FILE
        bundle.cache.mkdir(parents=True, exist_ok=True)
        unfinished = Path(mkdtemp(prefix=f"{package.name}-", suffix=".unfinished", dir=bundle.cache))
        try:
            precision = str(bundle.config.conversion.get("precision", "int4"))
            convert_gguf(
                gguf,
                unfinished,
                adapter=adapter if adapter.is_file() else None,
                precision=precision,
                progress=progress,
            )
            try:
                os.rename(unfinished, package)
            except OSError:  # another process was faster: its package is as good as ours
                if not (package / GENAI_CONFIG).is_file():
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load a package in this process; what was converted here runs in batches."""
        from olpipe.default_plugins.ort_genai.batched import BatchedRunner
        from olpipe.default_plugins.ort_genai.runner import TextRunner

        package = package_folder(bundle)
        if not (package / GENAI_CONFIG).is_file():
            raise ModelCorrupt(
                f"`{bundle.name}` has no {GENAI_CONFIG} in {package}", hint=f"run `olpipe pull {bundle.name}`"
            )
        return (TextRunner if _gguf(bundle) is None else BatchedRunner)(package, bundle, options)


def package_folder(bundle: ModelBundle) -> Path:
    """Return where the runnable package lies, or will lie once it is built."""
    if _gguf(bundle) is None:
        return bundle.path
    version = bundle.config.conversion.get("format", 0)
    return bundle.cache / f"ort-genai-{version}"


def _gguf(bundle: ModelBundle) -> Path | None:
    """Return the bundle's GGUF file, or None when it has none or already is a package."""
    if (bundle.path / GENAI_CONFIG).is_file():
        return None
    return next(iter(sorted(bundle.path.glob("*.gguf"))), None)
