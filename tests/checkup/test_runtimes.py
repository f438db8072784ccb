"""Which runtimes are there, and which extra of olpipe fits the machine."""

import platform
import sys

import onnxruntime
import pytest

from olpipe.checkup.hardware import Gpus
from olpipe.checkup.report import Section
from olpipe.checkup.runtimes import check_runtimes, fitting_extra
from olpipe.testing.install import install_plugin

GPU = Gpus(("NVIDIA T4",))
HAS_WHEELS = platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "darwin"
needs_wheels = pytest.mark.skipif(not HAS_WHEELS, reason="there are no runtimes for GPUs for this system")
needs_cpu_build = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="the runtime for GPUs is installed"
)


def runtimes(*, gpus=None, directml=False):
    section = Section("runtimes", "Runtimes")
    check_runtimes(section, gpus=gpus or Gpus(), directml=directml)
    return section


def rows_of(section):
    return {row.name: (row.state, row.text) for row in section.rows}


@needs_wheels
@pytest.mark.parametrize(
    ("gpus", "directml", "extra"),
    [
        (Gpus(), False, "cpu"),
        (GPU, False, "cuda"),
        (GPU, True, "cuda"),
        (Gpus(), True, "directml"),
        (Gpus(trouble="`nvidia-smi` fails"), False, "cpu"),
    ],
)
def test_the_extra_that_fits_depends_on_the_gpus(gpus, directml, extra):
    assert fitting_extra(gpus, directml=directml) == extra


@pytest.mark.parametrize("machine", ["aarch64", "riscv64"])
def test_where_there_are_no_runtimes_for_gpus_the_processor_computes(monkeypatch, machine):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert fitting_extra(GPU, directml=True) == "cpu"


@needs_cpu_build
def test_runtimes_are_listed_with_what_they_compute_on():
    section = runtimes()
    rows = rows_of(section)
    assert rows["onnxruntime"] == ("ok", onnxruntime.__version__)
    assert rows["computes on"] == ("ok", "the CPU")
    assert section.facts["providers"] == onnxruntime.get_available_providers()
    assert section.facts["versions"]["onnxruntime"] == onnxruntime.__version__
    assert section.steps == []


@needs_wheels
@needs_cpu_build
def test_a_gpu_without_its_runtime_is_told_with_the_commands_that_bring_it():
    section = runtimes(gpus=GPU)
    assert rows_of(section)["GPU"][0] == "note"
    first, second = section.steps
    assert first.command == "pip uninstall -y onnxruntime onnxruntime-genai"
    assert second.command == "pip install 'olpipe[cuda]'"
    assert "--device cuda" in second.reason


def test_a_runtime_that_is_not_there_is_told_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    section = runtimes()
    assert rows_of(section)["onnxruntime"][0] == "fail"
    assert [step.command for step in section.steps] == []
    monkeypatch.setitem(sys.modules, "onnxruntime_genai", None)
    section = runtimes()
    assert rows_of(section)["onnxruntime-genai"] == ("note", "not installed")
    assert [step.command for step in section.steps] == ["pip install 'olpipe[cpu]'"]


@needs_cpu_build
def test_two_builds_of_one_runtime_are_told(tmp_path, monkeypatch):
    install_plugin(tmp_path, "onnxruntime-gpu", None)
    monkeypatch.syspath_prepend(tmp_path)
    section = runtimes()
    assert rows_of(section)["onnxruntime"] == (
        "note",
        "`onnxruntime` and `onnxruntime-gpu` are installed, and overwrite each other's files",
    )
    assert section.steps[0].command == "pip uninstall -y onnxruntime onnxruntime-gpu"
