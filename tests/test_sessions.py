"""Where a graph computes: the provider that ONNX Runtime is asked for, and what is said when it has none."""

import sys
from types import SimpleNamespace

import pytest

from olpipe.errors import BackendMissing
from olpipe.sessions import open_session

CPU, CUDA, DIRECTML = "CPUExecutionProvider", "CUDAExecutionProvider", "DmlExecutionProvider"


class Runtime:
    """Stands for the module `onnxruntime`. Its providers are installed, but some may not start."""

    SessionOptions = SimpleNamespace

    def __init__(self, installed, *, broken=()):
        self.installed, self.broken = [*installed, CPU], broken
        self.asked = None

    def get_available_providers(self):
        return self.installed

    def InferenceSession(self, path, options, *, providers):
        self.asked = providers
        return SimpleNamespace(get_providers=lambda: [name for name in providers if name not in self.broken])


@pytest.fixture
def install(monkeypatch):
    def install(*providers, **options):
        runtime = Runtime(providers, **options)
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
        return runtime

    return install


@pytest.mark.parametrize(
    ("device", "asked"), [("", [CPU]), ("cpu", [CPU]), ("cuda", [CUDA, CPU]), ("directml", [DIRECTML, CPU])]
)
def test_a_device_is_asked_of_the_runtime_with_the_cpu_behind_it(install, tmp_path, device, asked):
    runtime = install(CUDA, DIRECTML)
    open_session(tmp_path / "model.onnx", threads=1, device=device)
    assert runtime.asked == asked


@pytest.mark.parametrize("device", ["cuda", "directml"])
def test_a_device_that_is_not_installed_is_told_with_what_brings_it(install, tmp_path, device):
    install()
    with pytest.raises(BackendMissing) as caught:
        open_session(tmp_path / "model.onnx", threads=1, device=device)
    assert caught.value.message == f"the installed ONNX Runtime does not compute on the device `{device}`"
    assert f"pip install 'olpipe[{device}]'" in caught.value.hint


def test_a_device_that_does_not_start_is_no_silent_change_to_the_cpu(install, tmp_path):
    install(CUDA, broken=(CUDA,))
    with pytest.raises(BackendMissing, match="the device `cuda` does not start"):
        open_session(tmp_path / "model.onnx", threads=1, device="cuda")
