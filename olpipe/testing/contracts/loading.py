"""The contract of backends, first part: which models they take, how they build and load them."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.errors import OlpipeError
from olpipe.interfaces import Backend, Progress, Runner
from olpipe.model import LoadOptions, ModelBundle
from olpipe.testing.contracts.asking import (
    Cancelled,
    ModelFixtures,
    cancelling_after,
    completion,
    ignore,
    load,
    said,
)

RUNTIMES = (
    *("onnxruntime", "onnxruntime_genai", "torch", "tensorflow", "jax", "llama_cpp", "mlx", "mlx_lm", "vllm"),
    *("openvino", "openvino_genai", "ctranslate2", "transformers", "tensorrt", "tvm", "exllamav2"),
)
LONGEST_REASON = 200
MOST_INTERRUPTIONS = 4


class LoadingContract(ModelFixtures):
    """What the backend itself has to do.

    Attributes:
        runtimes: Modules that are imported only when a model is built or loaded.
    """

    runtimes: tuple[str, ...] = RUNTIMES

    def test_it_has_a_name_and_a_version(self, backend: Backend) -> None:
        """The name is how the runner's process finds it. The version is part of every recipe's key."""
        for text in (backend.name, backend.version):
            assert isinstance(text, str)
            assert text

    def test_it_takes_its_own_models(self, backend: Backend, bundle: ModelBundle, tmp_path: Path) -> None:
        """It takes them even before they are built, and makes no files while it looks."""
        unbuilt = replace(bundle, cache=tmp_path / "nothing-built")
        assert backend.refuses(unbuilt) is None
        assert not unbuilt.cache.exists()
        backend.build(bundle, ignore)
        assert backend.refuses(bundle) is None

    @pytest.mark.parametrize("strange", ["empty", "other files", "the same names"])
    def test_it_says_why_it_refuses_others(
        self, backend: Backend, bundle: ModelBundle, tmp_path: Path, strange: str
    ) -> None:
        """It looks into the files, because their names are not enough. The reason is a few words on one line."""
        reason = backend.refuses(_strange_bundle(bundle, tmp_path, strange))
        assert isinstance(reason, str)
        assert reason.strip()
        assert len(reason.splitlines()) == 1
        assert len(reason) <= LONGEST_REASON

    def test_it_refuses_without_its_runtime(
        self, backend: Backend, bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It can say which models it takes where its runtime is not installed. There, models are listed, too."""
        for name in [name for name in sys.modules if name.partition(".")[0] in self.runtimes]:
            monkeypatch.delitem(sys.modules, name)
        for name in self.runtimes:
            monkeypatch.setitem(sys.modules, name, None)  # importing it fails
        assert backend.refuses(replace(bundle, cache=tmp_path / "nothing-built")) is None
        assert backend.refuses(_strange_bundle(bundle, tmp_path, "empty"))

    def test_building_again_changes_nothing(self, backend: Backend, bundle: ModelBundle) -> None:
        """What is built is left alone."""
        backend.build(bundle, ignore)
        before = {path: path.stat().st_mtime_ns for path in bundle.cache.rglob("*")}
        backend.build(bundle, ignore)
        assert {path: path.stat().st_mtime_ns for path in bundle.cache.rglob("*")} == before

    def test_the_models_own_files_stay_as_they_are(self, backend: Backend, bundle: ModelBundle) -> None:
        """They are links into the store."""
        before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in bundle.path.rglob("*.*")}
        load(backend, bundle).close()
        after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in bundle.path.rglob("*.*")}
        assert after == before

    def test_a_build_that_was_cut_off_is_made_again(
        self, backend: Backend, bundle: ModelBundle, tmp_path: Path
    ) -> None:
        """What a power cut leaves never looks finished, at whatever step it happens."""
        moments: list[Path] = []

        def note(progress: Progress) -> None:
            moments.append(tmp_path / f"moment-{len(moments)}")
            if own.cache.exists():
                shutil.copytree(own.cache, moments[-1])

        own = replace(bundle, cache=tmp_path / "own-cache")
        backend.build(own, note)
        expected = self._said(backend.load(own, LoadOptions(threads=1)))
        assert moments or not own.cache.exists() or not any(own.cache.iterdir()), "a build tells how far it is"
        for moment in moments[:: max(1, len(moments) // MOST_INTERRUPTIONS)] + moments[-1:]:
            shutil.rmtree(own.cache, ignore_errors=True)
            if moment.exists():
                shutil.copytree(moment, own.cache)
            assert self._said(load(backend, own)) == expected

    def test_a_build_can_be_cancelled(self, backend: Backend, bundle: ModelBundle, tmp_path: Path) -> None:
        """An exception that `progress` raises ends the build and comes out of it. The next build is complete."""
        expected = self._said(load(backend, bundle))
        own = replace(bundle, cache=tmp_path / "own-cache")
        calls: list[Progress] = []
        backend.build(replace(bundle, cache=tmp_path / "counted-cache"), calls.append)
        for last in sorted({0, len(calls) // 2, len(calls) - 1} & set(range(len(calls)))):
            with pytest.raises(Cancelled):
                backend.build(own, cancelling_after(last))
            assert self._said(load(backend, own)) == expected
            shutil.rmtree(own.cache, ignore_errors=True)

    @pytest.mark.parametrize("damage", ["garbage", "cut short"])
    def test_damaged_files_are_an_error_of_ours(
        self, backend: Backend, bundle: ModelBundle, tmp_path: Path, damage: str
    ) -> None:
        """`build` or `load` raises `ModelCorrupt` or another of olpipe's errors, and not what a library raises."""
        damaged = _copy(bundle, tmp_path)
        files = sorted(
            (path for path in damaged.path.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
        )
        for path in files if damage == "garbage" else files[-1:]:
            data = path.read_bytes()
            path.write_bytes(b"garbage" if damage == "garbage" else data[: len(data) // 2])
        with pytest.raises(OlpipeError):
            load(backend, damaged)

    def test_it_says_what_it_can_do(self, runner: Runner) -> None:
        """The engine refuses requests that ask for more."""
        assert runner.info.context_length > 0
        assert runner.info.slots >= 1
        assert runner.info.fit_pixels >= 0
        assert runner.info.generates or runner.info.embeds

    def test_the_limit_on_the_context_is_kept(self, backend: Backend, bundle: ModelBundle) -> None:
        """It may be lower than the model's own, never higher."""
        found = []
        for asked in (0, 64, 10**9):
            runner = load(backend, bundle, LoadOptions(threads=1, context_length=asked))
            found.append(runner.info.context_length)
            runner.close()
        assert found == [found[0], 64, found[0]]

    def test_the_limit_on_the_slots_is_kept(self, backend: Backend, bundle: ModelBundle) -> None:
        """Each slot takes memory."""
        runner = load(backend, bundle, LoadOptions(threads=1, slots=1))
        assert runner.info.slots == 1
        runner.close()

    def _said(self, runner: Runner) -> object:
        """Return a runner's answer to the contract's prompt, and close the runner."""
        try:
            if runner.info.generates:
                return said(completion(runner, self.request(max_tokens=8)))
            return None
        finally:
            runner.close()


def _copy(bundle: ModelBundle, folder: Path) -> ModelBundle:
    """Return a model with files and a cache of its own."""
    path = folder / "copy"
    shutil.copytree(bundle.path, path, symlinks=False)
    return replace(bundle, path=path, cache=folder / "copy-cache")


def _strange_bundle(bundle: ModelBundle, folder: Path, kind: str) -> ModelBundle:
    """Return a model that no backend can run."""
    path = folder / "strange"
    path.mkdir()
    if kind == "other files":
        (path / "notes.txt").write_text("no model", encoding="utf-8")
        (path / "config.json").write_text("{}", encoding="utf-8")
        (path / "model.strange").write_bytes(bytes(100))
    if kind == "the same names":
        for file in (one for one in bundle.path.rglob("*") if one.is_file()):
            copied = path / file.relative_to(bundle.path)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(b"garbage")
    return replace(bundle, path=path, cache=folder / "strange-cache")
