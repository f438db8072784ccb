"""Convert GGUF files and models of Hugging Face, and run them on plain ONNX Runtime."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from olpipe.convert.architectures import (
    ADAPTER_FILE,
    ARCHITECTURES,
    EMBEDDING_CONFIG,
    ENCODERS,
    FORMAT_VERSION,
    GGUF_ADAPTER_FILE,
    PROJECTOR_FILE,
)
from olpipe.errors import ModelCorrupt, ModelNotFound, ModelUnsupported
from olpipe.families.packaged import PackagedVision
from olpipe.families.table import Families, family_named
from olpipe.interfaces import Backend, Family, ProgressCallback, Runner
from olpipe.model import LoadOptions, ModelBundle
from olpipe.store.package_checks import CONFIG_NAME
from olpipe.store.telling import letting_out
from olpipe.store.writing import new_folder

if TYPE_CHECKING:
    from olpipe.convert.package import VisionPart

DEFAULT_PRECISION = "int4"
"""The precision of a model whose manifest names none."""

ABANDONED_S = 24 * 3600
"""Seconds after which a conversion that has not ended counts as killed."""


class OnnxBackend(Backend):
    """Runs decoders, several sequences side by side, and embedding models."""

    name = "onnx"
    version = "1"
    architectures = frozenset((*ARCHITECTURES, *ENCODERS))

    def refuses(self, bundle: ModelBundle) -> str | None:
        """Say why this backend cannot run a model, by its header or configuration. A converted model is not read."""
        source = source_of(bundle)
        if source is None:
            return "it has neither a .gguf file nor a `model.safetensors` with its `config.json`"
        if (bundle.path / GGUF_ADAPTER_FILE).is_file():
            return "its adapter is a GGUF file, and only adapters in safetensors are applied"
        try:
            if not _is_current(package_folder(bundle), self.families):
                _check(source, self.families)
        except (ModelCorrupt, ModelNotFound, ModelUnsupported) as error:
            what = "the folder" if source.is_dir() else "the file"
            return error.message.replace(f"`{source}`", what).replace(f"{source}{os.sep}", "")
        return None

    def family_of(self, bundle: ModelBundle) -> Family | None:
        """Return the family of a model that sees."""
        package, source = package_folder(bundle), source_of(bundle)
        if _is_current(package, self.families):
            packaged = PackagedVision.read(package)
            return None if packaged is None else family_named(packaged.family, self.families)
        part = None if source is None or _embeds(source) else _vision_of(source, self.families)
        return None if part is None else part.family

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Convert a model into a package, with the adapter that lies beside it.

        Packages of earlier formats are removed, and so is one that an earlier version of its family has written.
        """
        source, package = source_of(bundle), package_folder(bundle)
        if source is None or _is_current(package, self.families):
            return
        # 1. The package is made in another folder, which is then renamed. So a package is always complete.
        bundle.cache.mkdir(parents=True, exist_ok=True)
        _check_space(source, bundle)
        unfinished = new_folder(bundle.cache, f"{package.name}-", ".unfinished")
        try:
            _convert(source, unfinished, bundle, self.families, progress)
            try:
                if not _is_current(package, self.families):
                    shutil.rmtree(package, ignore_errors=True)
                os.rename(unfinished, package)
            except OSError:  # another process was faster, and its package is the same
                if not is_built(package):
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        # 2. The packages that it replaces.
        _remove_earlier(package)

    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load a converted model in this process."""
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

        return BatchedRunner(package, bundle, options, families=self.families)


def package_folder(bundle: ModelBundle) -> Path:
    """Return the folder of the converted package, whether it exists or not.

    Its name has the version of the format that this code writes. So a newer olpipe converts the model again.
    """
    return bundle.cache / f"onnx-{FORMAT_VERSION}"


def is_built(package: Path) -> bool:
    """Say whether a package exists. It gets its name when it is finished, so it is complete."""
    return (package / CONFIG_NAME).is_file() or (package / EMBEDDING_CONFIG).is_file()


def _is_current(package: Path, families: Families | None) -> bool:
    """Say whether a package exists that the present version of its family has written, and that is not damaged.

    Raises:
        ModelUnsupported: The plugin that brought its family is gone.
    """
    if not is_built(package):
        return False
    try:
        packaged = PackagedVision.read(package)
    except ModelCorrupt:
        return False
    return packaged is None or family_named(packaged.family, families).version == packaged.version


def source_of(bundle: ModelBundle) -> Path | None:
    """Return what to convert: a GGUF file, or else the model's folder; None where the model is neither."""
    gguf = next((path for path in sorted(bundle.path.glob("*.gguf")) if path.name != PROJECTOR_FILE), None)
    if gguf is not None:
        return gguf
    from olpipe.convert.model_folder import is_model_folder

    return bundle.path if is_model_folder(bundle.path) else None


def _vision_of(source: Path, families: Families | None) -> VisionPart | None:
    """Return the vision encoder of a text model, which may lie beside it; None for a model that reads texts only."""
    from olpipe.families.vision_part import find_vision

    if source.is_dir():
        return None
    projector = source.with_name(PROJECTOR_FILE)
    return find_vision(source, projector if projector.is_file() else None, families)


def _check(source: Path, families: Families | None) -> None:
    """Raise the errors that a conversion would raise, as far as headers and configurations show them."""
    if _embeds(source):
        from olpipe.convert.encoder_package import check_encoder

        check_encoder(source)
    else:
        from olpipe.convert.package import check_convertible

        check_convertible(source, _vision_of(source, families))


def _convert(
    source: Path, folder: Path, bundle: ModelBundle, families: Families | None, progress: ProgressCallback
) -> None:
    """Convert a source into a package in an empty folder."""
    if _embeds(source):
        from olpipe.convert.encoder_package import convert_encoder

        convert_encoder(source, folder, progress=progress)
    else:
        from olpipe.convert.package import convert_gguf

        adapter = bundle.path / ADAPTER_FILE
        with letting_out(progress) as told:
            convert_gguf(
                source,
                folder,
                vision=_vision_of(source, families),
                adapter=adapter if adapter.is_file() else None,
                precision=str(bundle.config.conversion.get("precision", DEFAULT_PRECISION)),
                progress=told,
            )


def _check_space(source: Path, bundle: ModelBundle) -> None:
    """Refuse a conversion for which there is no space. The size of an embedding model's package is not known before.

    Raises:
        DiskFull: There is none.
    """
    from olpipe.convert.decoder_folder import open_decoder_folder
    from olpipe.convert.gguf import read_header
    from olpipe.store.space import check_space, conversion_bytes

    if source.is_file() or not _embeds(source):
        files = [path for path in (source, source.with_name(PROJECTOR_FILE)) if path.is_file()]
        headers = [open_decoder_folder(source).header] if source.is_dir() else [read_header(path) for path in files]
        tensors = [tensor for header in headers for tensor in header.tensors.values()]
        precision = str(bundle.config.conversion.get("precision", DEFAULT_PRECISION))
        check_space(f"the conversion of `{bundle.name}`", conversion_bytes(tensors, precision), bundle.cache)


def _embeds(source: Path) -> bool:
    """Say whether a source is an embedding model."""
    from olpipe.convert.decoder_folder import is_decoder_folder
    from olpipe.convert.encoder_package import is_encoder

    return not is_decoder_folder(source) if source.is_dir() else is_encoder(source)


def _remove_earlier(package: Path) -> None:
    """Remove packages of formats that this code no longer reads, and what was left by conversions that were killed."""
    for pattern in ("onnx-*", "ort-genai-*"):
        for folder in package.parent.glob(pattern):
            if folder != package and (folder.suffix != ".unfinished" or _is_abandoned(folder)):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Say whether a folder was left by a conversion that was killed."""
    try:
        return time.time() - folder.stat().st_mtime > ABANDONED_S
    except OSError:  # it is gone, because its conversion has just ended
        return False
