"""Open a graph on plain ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from olpipe.errors import BackendMissing

CPU = "cpu"
DEVICES = {CPU: "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "directml": "DmlExecutionProvider"}
"""The execution provider of ONNX Runtime for each device. The devices have the names of olpipe's extras."""

LOG_ERRORS_ONLY = 3


def open_session(path: Path, *, threads: int, device: str = "") -> Any:
    """Return an `onnxruntime.InferenceSession`; its `run` may be called from several threads.

    Args:
        path: The ONNX file.
        threads: CPU threads for one forward; 0 lets the runtime choose.
        device: A key of `DEVICES`; empty takes the CPU.

    Raises:
        BackendMissing: ONNX Runtime is not installed, what is installed does not compute on the device, or the device
            does not start.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendMissing("ONNX Runtime is not installed", hint="run `pip install 'olpipe[cpu]'`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = LOG_ERRORS_ONLY
    # The CPU comes last. It runs the operators that the device has no kernels for
    provider = DEVICES[device or CPU]
    providers = list(dict.fromkeys([provider, DEVICES[CPU]]))
    if provider not in onnxruntime.get_available_providers():
        raise missing_device(device)
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    if provider not in session.get_providers():  # the runtime goes on with the CPU where a device does not start
        hint = "look at the lines above, and check the device's driver and libraries"
        raise BackendMissing(f"the device `{device}` does not start", hint=hint)
    return session


def missing_device(device: str) -> BackendMissing:
    """Return the error for a device that the installed runtime does not compute on, and say what brings it."""
    return BackendMissing(
        f"the installed ONNX Runtime does not compute on the device `{device}`",
        hint=f"run `pip install 'olpipe[{device}]'` in an environment without `olpipe[cpu]`",
    )


def session_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: classes that have nothing in common but `Exception`."""
    from onnxruntime.capi import onnxruntime_pybind11_state

    found = vars(onnxruntime_pybind11_state).values()
    return tuple(one for one in found if isinstance(one, type) and issubclass(one, Exception))
