"""Mend a store: fetch what is damaged again from where it came, and make anew what can be made anew."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from olpipe.errors import ModelNotFound, OlpipeError, first_line
from olpipe.interfaces import PartialBlob, Progress, ProgressCallback
from olpipe.model import Layer, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.store import digests, views
from olpipe.store.build import backend_for, build
from olpipe.store.leftovers import DAMAGED
from olpipe.store.library import Library
from olpipe.store.locks import held
from olpipe.store.manifest import config_to_bytes
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.store.seal import seal_path
from olpipe.store.sources import INSECURE, Origin
from olpipe.store.telling import letting_out
from olpipe.store.verify import Verdict, Verified
from olpipe.store.writing import writing


@dataclass(slots=True)
class Repaired:
    """What became of a damaged model.

    Attributes:
        name: Its name.
        mended: What was mended, as one line each.
        lost: What is still damaged, and why, as one line each.
    """

    name: ModelName
    mended: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def repair(
    verified: Verified, library: Library, plugins: Plugins, progress: ProgressCallback, *, insecure: bool = False
) -> list[Repaired]:
    """Mend what is damaged. What is not damaged is left as it is.

    Args:
        verified: What is damaged.
        library: The store.
        plugins: The plugins with the sources and the backends.
        progress: Told about every step.
        insecure: Whether a registry may be asked over a connection that others can read.
    """
    _move_aside(library, verified)
    return [
        _Repair(library, plugins, progress, insecure=insecure).run(verdict)
        for verdict in verified.models
        if verdict.faults
    ]


def _move_aside(library: Library, verified: Verified) -> None:
    """Move damaged blobs out of the way: a pull takes a blob with the right name for a sound one."""
    damaged = {fault.digest for verdict in verified.models for fault in verdict.of("blob")} | set(verified.unneeded)
    folder = library.folder / DAMAGED
    with library.changing(), writing(folder):
        for digest in damaged:
            path = library.blobs.path(digest)
            if path.is_file() and digests.of_file(path) != digest:  # somebody else may have mended it
                folder.mkdir(parents=True, exist_ok=True)
                os.replace(path, folder / path.name)


class _Repair:
    """Mends one model."""

    def __init__(self, library: Library, plugins: Plugins, progress: ProgressCallback, *, insecure: bool) -> None:
        self._library = library
        self._plugins = plugins
        self._progress = progress
        self._insecure = insecure

    def run(self, verdict: Verdict) -> Repaired:
        """Mend a model, and say what became of it."""
        done = Repaired(verdict.name)
        try:
            if verdict.of("manifest"):
                self._pull_anew(done)
                return done
            self._fetch(verdict, done)
            done.lost += [fault.what for fault in verdict.of("file")]
            if not done.lost:
                self._make_anew(verdict, done)
        except ModelNotFound:
            return done  # it was removed meanwhile
        return done

    def _pull_anew(self, done: Repaired) -> None:
        """Pull a model whose manifest is damaged, from where its name leads."""
        try:
            origin, name = find_source(str(done.name), self._plugins, insecure=self._insecure)
            if name is None:
                raise ModelNotFound(f"no source has `{done.name}` under this name")
            pull(origin, done.name, self._library, self._plugins, progress=self._progress)
        except OlpipeError as error:
            done.lost.append(f"its manifest, and it cannot be pulled again: {error.message}")
        else:
            done.mended.append("its manifest: it was pulled again")

    def _fetch(self, verdict: Verdict, done: Repaired) -> None:
        """Fetch the blobs that are damaged or missing."""
        manifest = self._library.manifests.read(verdict.name).manifest
        layers = {layer.digest: layer for layer in (manifest.config, *manifest.layers)}
        damaged = [(fault, layers[fault.digest]) for fault in verdict.of("blob") if fault.digest in layers]
        reasons: list[str] = []
        for origin in self._origins(verdict.name, [layer for _, layer in damaged if not self._is_here(layer)]):
            missing = {layer.digest: layer.size for _, layer in damaged if not self._is_here(layer)}
            if not missing:
                break
            try:
                self._fetch_from(origin, verdict.name, missing)
            except OlpipeError as error:
                reasons.append(f"`{origin.text}`: {error.message}")
        why = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
        for fault, layer in damaged:
            if self._is_here(layer):
                done.mended.append(f"{fault.what}: fetched again")
            else:
                done.lost.append(f"{fault.what}, and no source has it{why}")

    def _fetch_from(self, origin: Origin, name: ModelName, missing: Mapping[str, int]) -> None:
        lock = self._library.pull_lock(origin.text)
        sources = self._plugins.model_sources
        with (
            held(lock, f"waiting for another pull of {origin.reference}", self._progress),
            letting_out(self._progress) as tell,
            sources.blaming(origin.source.scheme),
        ):
            origin.source.pull(origin.reference, name, _Wanting(self._library, missing), tell)

    def _is_here(self, layer: Layer) -> bool:
        return self._library.blobs.size(layer.digest) == layer.size

    def _origins(self, name: ModelName, wanted: Sequence[Layer]) -> Iterator[Origin]:
        """Yield where the model may have come from, the likeliest first, each once."""
        model = self._library.manifests.read(name)
        texts = [self._library.origins.get(model.digest), str(name)]
        for parent in dict.fromkeys(layer.origin for layer in wanted if layer.origin):
            with suppress(OlpipeError):
                texts.append(self._library.origins.get(self._library.digest(ModelName.parse(parent))))
            texts.append(parent)
        seen = set()
        for text in filter(None, texts):
            try:
                origin, _ = find_source(self._allowed(text), self._plugins, insecure=self._insecure)
            except OlpipeError:
                continue
            if origin.text not in seen:
                seen.add(origin.text)
                yield Origin(origin.source, origin.reference)

    def _allowed(self, text: str) -> str:
        """Return a source without plain HTTP, unless that is allowed now, too."""
        return text if self._insecure else text.replace(f":{INSECURE}", ":", 1)

    def _make_anew(self, verdict: Verdict, done: Repaired) -> None:
        """Lay the files out anew, and convert anew what was converted of damaged files or is damaged itself."""
        model = self._library.describe(verdict.name)
        view, builds = self._library.made(model.digest)
        is_stale = bool(verdict.of("blob"))
        was_built = builds.is_dir()
        if is_stale or verdict.of("view"):
            with self._library.changing():
                views.discard(view)
        if was_built and (is_stale or verdict.of("conversion")):
            lock = FileLock(builds.with_name(f"{builds.name}.lock"))
            with held(lock, f"waiting for another build of {verdict.name}", self._progress):
                views.discard(builds)
                seal_path(builds).unlink(missing_ok=True)
        try:
            bundle = self._library.get(verdict.name)
            done.mended += [f"{fault.what}: laid out anew" for fault in verdict.of("view")]
            if was_built:
                build(bundle, backend_for(bundle, self._plugins.backends), self._progress)
                done.mended += [f"{fault.what}: converted anew" for fault in verdict.of("conversion")]
        except ModelNotFound:
            raise
        except OlpipeError as error:
            done.lost.append(f"it cannot be made ready again: {first_line(error)}")


class _Wanting:
    """A store that takes only some blobs, and keeps its manifests as they are. Implements `ModelStore`."""

    def __init__(self, library: Library, wanted: Mapping[str, int]) -> None:
        self._library = library
        self._wanted = wanted

    def has(self, digest: str) -> bool:
        normal = digests.normalised(digest)
        return normal not in self._wanted or self._library.has(normal)

    def partial(self, key: str) -> Path:
        return self._library.partial(key)

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        size = path.stat().st_size
        if size in self._wanted.values():
            found = digests.of_file(path)
            digests.check(found, digest, path.name)
            if found in self._wanted:
                return self._library.add_file(path, digest=found, move=move, progress=progress)
        else:
            found = digests.normalised(digest) if digest else digests.of_file(path)
        if progress is not None:
            progress(Progress(f"storing {path.name}", size, size, digest=found))
        return Layer(found, size)

    def add_bytes(self, data: bytes) -> Layer:
        found = digests.of_bytes(data)
        return self._library.add_bytes(data) if found in self._wanted else Layer(found, len(data))

    def receiving(
        self, digest: str, size: int, progress: ProgressCallback
    ) -> AbstractContextManager[PartialBlob | None]:
        normal = digests.normalised(digest)
        if self._wanted.get(normal) != size:
            return nullcontext(None)
        return self._library.receiving(normal, size, progress)

    def check_manifest(self, name: ModelName, manifest: bytes, beginnings: Mapping[str, Path] | None = None) -> None:
        """Let everything pass: only blobs of the right digests are taken."""

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        """Take the config, if it is wanted."""
        self.add_bytes(config_to_bytes(config, layers))

    def commit_manifest(self, name: ModelName, manifest: bytes) -> None:
        """Leave the manifest as it is."""
