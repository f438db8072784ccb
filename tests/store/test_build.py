"""Building a model: who is told, who is blamed, and what comes out when somebody cancels it."""

import errno
from pathlib import Path

import pytest

from olpipe.errors import DiskFull, PluginError
from olpipe.interfaces import Backend, Progress
from olpipe.model import ModelBundle, ModelName
from olpipe.store.build import build


class Cancelled(Exception):
    """What a callback raises when nobody wants the model any more."""


class Builder(Backend):
    """Builds one file in two steps, unless it fails between them."""

    name, version = "builder", "1"

    def __init__(self, error=None):
        self.error = error

    def refuses(self, bundle):
        return None

    def build(self, bundle, progress):
        if bundle.cache.exists():
            return
        progress(Progress("first"))
        if self.error is not None:
            raise self.error
        progress(Progress("second"))
        bundle.cache.mkdir()

    def load(self, bundle, options):
        raise AssertionError("it is never asked to")


@pytest.fixture
def bundle(tmp_path):
    return ModelBundle(ModelName.parse("tiny"), "sha256:0", Path("nowhere"), tmp_path / "cache" / "tiny")


def test_a_build_is_announced_once_before_its_first_step_and_only_where_something_is_built(bundle):
    seen = []
    for _ in range(2):
        build(bundle, Builder(), lambda step: seen.append(step.status), building=lambda: seen.append("building"))
    assert seen == ["building", "first", "second"]


@pytest.mark.parametrize("status", ["first", "second"])
def test_what_a_callback_raises_comes_out_and_the_backend_is_not_blamed(bundle, status):
    def cancel(step):
        if step.status == status:
            raise Cancelled

    with pytest.raises(Cancelled):
        build(bundle, Builder(), cancel)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("weights"), "KeyError: 'weights'"),
        (FileNotFoundError(2, "No such file", "x"), "FileNotFoundError: [Errno 2] No such file: 'x'"),
    ],
)
def test_a_backend_that_fails_is_told_with_its_name(bundle, error, reason):
    with pytest.raises(PluginError) as caught:
        build(bundle, Builder(error), lambda step: None)
    assert caught.value.message == f"the backend `builder` failed: {reason}"
    assert caught.value.__cause__ is error


def test_a_full_disk_is_not_the_fault_of_the_backend(bundle):
    with pytest.raises(DiskFull) as caught:
        build(bundle, Builder(OSError(errno.ENOSPC, "No space left on device")), lambda step: None)
    assert caught.value.message == f"no space left to write `{bundle.cache}` (No space left on device)"
