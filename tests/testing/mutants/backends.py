"""Backends with one fault each: which models they take, how they build and load them."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from mutants.breaking import Mutants
from mutants.tiny import CONFIG, TinyBackend, TinyRunner, read_seed, tiny_bundle

from olpipe.errors import OlpipeError
from olpipe.interfaces import Progress
from olpipe.testing.contracts.loading import LoadingContract

CONTRACT = LoadingContract
PLUGINS = Mutants(TinyBackend)


@PLUGINS.broken("test_it_has_a_name_and_a_version")
class Unversioned(TinyBackend):
    """Recipes do not notice when its answers change."""

    version = None


@PLUGINS.broken("test_it_takes_its_own_models")
class TakesOnlyWhatIsBuilt(TinyBackend):
    """It refuses a model that has not been built yet, so none is ever built."""

    def refuses(self, bundle):
        return super().refuses(bundle) or (None if (bundle.cache / "tiny-1").is_dir() else "it is not built")


@PLUGINS.broken("test_it_takes_its_own_models")
class BuildsWhileItLooks(TinyBackend):
    """To look at a model takes as long as to build it."""

    def refuses(self, bundle):
        reason = super().refuses(bundle)
        if reason is None:
            self.build(bundle, lambda _: None)
        return reason


@PLUGINS.broken("test_it_says_why_it_refuses_others")
class TakesEveryFolder(TinyBackend):
    """No other backend is ever asked."""

    def refuses(self, bundle):
        return None


@PLUGINS.broken("test_it_says_why_it_refuses_others")
class GoesByTheName(TinyBackend):
    """It takes a file for what its name says."""

    def refuses(self, bundle):
        return None if (bundle.path / CONFIG).is_file() else f"it has no {CONFIG}"


@PLUGINS.broken("test_it_says_why_it_refuses_others")
class SaysOnlyNo(TinyBackend):
    """It does not say why."""

    def refuses(self, bundle):
        return None if super().refuses(bundle) is None else ""


@PLUGINS.broken("test_it_says_why_it_refuses_others")
class RaisesInstead(TinyBackend):
    """It raises for a folder that is not its own."""

    def refuses(self, bundle):
        read_seed(bundle)


@PLUGINS.broken("test_it_says_why_it_refuses_others")
class WritesAnEssay(TinyBackend):
    """Its reasons fill a page."""

    def refuses(self, bundle):
        reason = super().refuses(bundle)
        return reason and f"{reason}\n" * 20


@PLUGINS.broken("test_it_refuses_without_its_runtime")
class ImportsItsRuntime(TinyBackend):
    """It cannot say anything where its runtime is not installed."""

    def refuses(self, bundle):
        import onnxruntime  # noqa: F401

        return super().refuses(bundle)


@PLUGINS.broken("test_it_refuses_without_its_runtime")
class RefusesWithoutItsRuntime(TinyBackend):
    """It says of its own models that they are none, where its runtime is not installed."""

    def refuses(self, bundle):
        try:
            import torch  # noqa: F401
        except ImportError:
            if "torch" in sys.modules:  # as the contract leaves it out
                return "torch is not installed"
        return super().refuses(bundle)


@PLUGINS.broken("test_building_again_changes_nothing")
class BuildsAgain(TinyBackend):
    """It builds whatever is there."""

    def build(self, bundle, progress):
        shutil.rmtree(bundle.cache, ignore_errors=True)
        super().build(bundle, progress)


@PLUGINS.broken("test_the_models_own_files_stay_as_they_are")
class WritesIntoTheStore(TinyBackend):
    """It makes notes in the model's files."""

    def build(self, bundle, progress):
        super().build(bundle, progress)
        (bundle.path / CONFIG).write_text('{"seed": 1, "built": true}')


@PLUGINS.broken("test_a_build_that_was_cut_off_is_made_again")
class BuildsInPlace(TinyBackend):
    """What an interrupted build left looks finished."""

    def build(self, bundle, progress):
        final = bundle.cache / "tiny-1"
        if not final.is_dir():
            final.mkdir(parents=True)
            self.make(bundle, final, progress)


@PLUGINS.broken("test_a_build_that_was_cut_off_is_made_again")
class LeavesZeros(TinyBackend):
    """What an interrupted build left is half of the weights, and the rest is taken for zeros."""

    def build(self, bundle, progress):
        final = bundle.cache / "tiny-1"
        if final.is_dir():
            return
        final.mkdir(parents=True)
        random = np.random.default_rng(1)
        names = {"tokens": 350, "colours": 3, "output": 350}
        for name, size in names.items():
            np.save(final / f"{name}.npy", np.zeros((size, 12), np.float32))
        for name, size in names.items():
            np.save(final / f"{name}.npy", random.normal(size=(size, 12)).astype(np.float32))
            progress(Progress("building"))


@PLUGINS.broken("test_a_build_that_was_cut_off_is_made_again")
class BuildsInSilence(TinyBackend):
    """It tells nobody how far it is, so it cannot be cancelled."""

    def build(self, bundle, progress):
        super().build(bundle, lambda _: None)


@PLUGINS.broken("test_a_build_can_be_cancelled")
class CannotBeCancelled(TinyBackend):
    """What `progress` raises is taken for nothing."""

    def build(self, bundle, progress):
        def tell(one):
            try:
                progress(one)
            except Exception:  # noqa: BLE001
                return

        super().build(bundle, tell)


@PLUGINS.broken("test_a_build_can_be_cancelled")
class RewordsTheCancel(TinyBackend):
    """Whoever cancelled it is told that the build has failed."""

    def build(self, bundle, progress):
        try:
            super().build(bundle, progress)
        except Exception as error:
            raise OlpipeError("the build failed") from error


@PLUGINS.broken("test_damaged_files_are_an_error_of_ours")
class LetsErrorsThrough(TinyBackend):
    """A damaged file is a traceback out of numpy or json."""

    def build(self, bundle, progress):
        try:
            super().build(bundle, progress)
        except OlpipeError as error:
            raise error.__cause__ or error from None

    def load(self, bundle, options):
        try:
            return super().load(bundle, options)
        except OlpipeError as error:
            raise error.__cause__ or error from None


@PLUGINS.broken("test_it_says_what_it_can_do")
class CanDoNothing(TinyBackend):
    """Its runner neither writes nor makes vectors."""

    class runner(TinyRunner):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.info = replace(self.info, generates=False, embeds=False)


@PLUGINS.broken("test_it_says_what_it_can_do")
class HasNoSlots(TinyBackend):
    """Nothing can be started."""

    class runner(TinyRunner):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.info = replace(self.info, slots=0)


@PLUGINS.broken("test_the_limit_on_the_context_is_kept")
class IgnoresTheContextLimit(TinyBackend):
    """It takes the memory of a whole context, whatever it was told."""

    def load(self, bundle, options):
        return super().load(bundle, replace(options, context_length=0))


@PLUGINS.broken("test_the_limit_on_the_context_is_kept")
class BelievesTheContextLimit(TinyBackend):
    """It claims a longer context than the model has."""

    def load(self, bundle, options):
        runner = super().load(bundle, options)
        runner.info = replace(runner.info, context_length=options.context_length or runner.info.context_length)
        return runner


@PLUGINS.broken("test_the_limit_on_the_slots_is_kept")
class IgnoresTheSlotLimit(TinyBackend):
    """It takes the memory of all its slots, whatever it was told."""

    def load(self, bundle, options):
        return super().load(bundle, replace(options, slots=0))


class TestBackend(LoadingContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def backend(self, plugin):
        return plugin.make()

    @pytest.fixture
    def bundle(self, tmp_path):
        return tiny_bundle(tmp_path)
