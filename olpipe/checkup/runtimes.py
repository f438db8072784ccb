"""Which runtimes are installed, what they compute on, and which extra of olpipe fits this machine."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from olpipe.checkup.hardware import Gpus
from olpipe.checkup.report import Section
from olpipe.errors import first_line
from olpipe.pipeline.report import versions

EXTRAS: Mapping[str, tuple[str, str]] = {
    "cpu": ("onnxruntime", "onnxruntime-genai"),
    "cuda": ("onnxruntime-gpu", "onnxruntime-genai-cuda"),
    "directml": ("onnxruntime-directml", "onnxruntime-genai-directml"),
}
"""The distributions of ONNX Runtime and of ONNX Runtime GenAI that each extra of olpipe brings."""

MODULES = ("onnxruntime", "onnxruntime_genai")
_PROVIDERS = {"cuda": "CUDAExecutionProvider", "directml": "DmlExecutionProvider"}
_WORDS = {"CPU": "the CPU", "CUDA": "NVIDIA GPUs (CUDA)", "Dml": "GPUs (DirectML)", "Azure": ""}
_SUFFIX = "ExecutionProvider"


def check_runtimes(section: Section, *, gpus: Gpus, directml: bool) -> None:
    """Fill a section about runtimes.

    Args:
        section: The section.
        gpus: NVIDIA's GPUs that are there.
        directml: Whether the system has DirectML.
    """
    found = versions()
    section.facts["versions"] = found
    section.add("olpipe", f"{found['olpipe']}, on Python {found['python']}", "ok")
    extra = fitting_extra(gpus, directml=directml)
    providers, trouble = _providers()
    section.facts["providers"] = providers
    here = [_check_runtime(section, at, trouble if at == 0 else "") for at in range(len(MODULES))]
    if not all(here):
        section.advise(f"pip install 'olpipe[{extra}]'", "It installs the runtimes that run models.")
    elif not trouble:
        section.add("computes on", ", ".join(_provider_words(providers)), "ok")
        _check_devices(section, extra, providers)


def fitting_extra(gpus: Gpus, *, directml: bool) -> str:
    """Return the extra of olpipe that makes the most of this machine."""
    has_wheels = platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "darwin"
    if gpus.names and has_wheels:
        return "cuda"
    return "directml" if directml and has_wheels else "cpu"


def installed(distributions: Sequence[str]) -> dict[str, str]:
    """Return the versions of the distributions that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _check_runtime(section: Section, at: int, trouble: str) -> bool:
    """Add a row about a runtime; return whether it is installed."""
    builds = installed([names[at] for names in EXTRAS.values()])
    name = EXTRAS["cpu"][at]
    if trouble or importlib.util.find_spec(MODULES[at]) is None:
        what = f"cannot be imported: {trouble}" if builds and trouble else "not installed"
        section.add(next(iter(builds), name), what, "fail" if at == 0 else "note")
        return bool(builds and trouble)
    text = ", ".join(builds.values()) or "installed, without a version"
    if len(builds) > 1:
        both = " and ".join(f"`{build}`" for build in builds)
        section.add(name, f"{both} are installed, and overwrite each other's files", "note")
        section.advise(f"pip uninstall -y {' '.join(builds)}", f"{both} do not go together. Then install one extra.")
    else:
        section.add(next(iter(builds), name), text, "ok")
    return True


def _check_devices(section: Section, extra: str, providers: Sequence[str]) -> None:
    """Say so where a GPU is there that the installed runtime does not compute on."""
    if extra == "cpu" or _PROVIDERS[extra] in providers:
        return
    what = "an NVIDIA GPU" if extra == "cuda" else "DirectML"
    section.add("GPU", f"this machine has {what}, and the installed ONNX Runtime does not compute on it", "note")
    others = installed([name for key, names in EXTRAS.items() if key != extra for name in names])
    if others:
        reason = f"This machine has {what}. The runtimes for other devices have to go first."
        section.advise(f"pip uninstall -y {' '.join(others)}", reason)
    reason = f"It installs runtimes that compute on the GPU. Then ask for it with `--device {extra}`."
    section.advise(f"pip install 'olpipe[{extra}]'", reason)


def _providers() -> tuple[list[str], str]:
    """Return what the installed ONNX Runtime can compute on, or why it cannot be imported."""
    try:
        import onnxruntime

        return [str(provider) for provider in onnxruntime.get_available_providers()], ""
    except (ImportError, OSError, AttributeError) as error:  # a library of the system may be missing
        return [], first_line(error) or type(error).__name__


def _provider_words(providers: Sequence[str]) -> list[str]:
    words = [_WORDS.get(name.removesuffix(_SUFFIX), name.removesuffix(_SUFFIX)) for name in providers]
    return [word for word in words if word]
