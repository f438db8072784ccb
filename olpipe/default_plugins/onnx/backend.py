"""GGUF files and embedding models of Hugging Face, converted here and run on plain ONNX Runtime."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from tempfile import mkdtemp

from olpipe.convert.architectures import ADAPTER_FILE, EMBEDDING_CONFIG, FORMAT_VERSION
from olpipe.default_plugins.packages import CONFIG_NAME
from olpipe.errors import ModelCorrupt, ModelNotFound, ModelUnsupported
from olpipe.interfaces import Backend, ProgressCallback, Runner
from olpipe.model import LoadOptions, ModelBundle

DEFAULT_PRECISION = "int4"
ABANDONED_S = 24 * 3600
"""A conversion that has not ended after so long was killed."""


class OnnxBackend(Backend):
    """Runs decoders from GGUF files, several sequences side by side, and embedding models from files and folders."""

    name = "onnx"
    version = "1"

    def refuses(self, bundle: ModelBundle) -> str | None:
        """Read what the model says of itself, unless it has been converted already."""
        source = source_of(bundle)
        if source is None:
            return "it has neither a .gguf file nor a `model.safetensors` with its `config.json`"
        if is_built(package_folder(bundle)):
            return None
        try:
            _check(source)
        except (ModelCorrupt, ModelNotFound, ModelUnsupported) as error:
            what = "the folder" if source.is_dir() else "the file"
            return error.message.replace(f"`{source}`", what).replace(f"{source}{os.sep}", "")
        return None

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Convert the model, with the adapter that lies beside it, into a package.

        It is made in a folder beside its final place, which is then renamed. Packages of earlier formats go.
        """
        source, package = source_of(bundle), package_folder(bundle)
        if source is None or is_built(package):
            return
        bundle.cache.mkdir(parents=True, exist_ok=True)
        unfinished = Path(mkdtemp(prefix=f"{package.name}-", suffix=".unfinished", dir=bundle.cache))
        try:
            _convert(source, unfinished, bundle, progress)
            try:
                os.rename(unfinished, package)
            except OSError:  # another process was faster: its package is as good as ours
                if not is_built(package):
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        _remove_earlier(package)

    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load what was converted, in this process."""
        package = package_folder(bundle)
        if not is_built(package):
            raise ModelCorrupt(
                f"`{bundle.name}` has not been converted: there is no {CONFIG_NAME} in {package}",
                hint=f"run `olpipe pull {bundle.name}`",
            )
        if (package / EMBEDDING_CONFIG).is_file():
            from olpipe.default_plugins.onnx.encoder import EncoderRunner

            return EncoderRunner(package, bundle, options)
        from olpipe.default_plugins.onnx.runner import BatchedRunner

        return BatchedRunner(package, bundle, options)


def package_folder(bundle: ModelBundle) -> Path:
    """Return where the converted package lies, or will lie once it is built.

    Its name holds the version of the format that this code writes, so that an upgrade converts again.
    """
    return bundle.cache / f"onnx-{FORMAT_VERSION}"


def is_built(package: Path) -> bool:
    """Say whether a package is there, whole."""
    return (package / CONFIG_NAME).is_file() or (package / EMBEDDING_CONFIG).is_file()


def source_of(bundle: ModelBundle) -> Path | None:
    """Return what is converted: a GGUF file or else the model's folder, or None where the model is of neither kind."""
    gguf = next(iter(sorted(bundle.path.glob("*.gguf"))), None)
    if gguf is not None:
        return gguf
    from olpipe.convert.model_folder import is_model_folder

    return bundle.path if is_model_folder(bundle.path) else None


def _check(source: Path) -> None:
    """Raise what a conversion would raise, as far as headers and configurations tell."""
    if _embeds(source):
        from olpipe.convert.encoder_package import check_encoder

        check_encoder(source)
    else:
        from olpipe.convert.package import check_convertible

        check_convertible(source)


def _convert(source: Path, folder: Path, bundle: ModelBundle, progress: ProgressCallback) -> None:
    if _embeds(source):
        from olpipe.convert.encoder_package import convert_encoder

        convert_encoder(source, folder, progress=progress)
    else:
        from olpipe.convert.package import convert_gguf

        adapter = bundle.path / ADAPTER_FILE
        convert_gguf(
            source,
            folder,
            adapter=adapter if adapter.is_file() else None,
            precision=str(bundle.config.conversion.get("precision", DEFAULT_PRECISION)),
            progress=progress,
        )


def _embeds(source: Path) -> bool:
    """Say whether a source is an embedding model: every folder is one so far."""
    from olpipe.convert.encoder_package import is_encoder

    return source.is_dir() or is_encoder(source)


def _remove_earlier(package: Path) -> None:
    """Remove packages of formats that this code no longer reads, and what conversions left that were killed."""
    for pattern in ("onnx-*", "ort-genai-*"):
        for folder in package.parent.glob(pattern):
            if folder != package and (folder.suffix != ".unfinished" or _is_abandoned(folder)):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > ABANDONED_S
    except OSError:  # its conversion has just ended
        return False
