"""Open a graph on plain ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from olpipe.errors import BackendMissing

LOG_ERRORS_ONLY = 3


def open_session(path: Path, *, threads: int) -> Any:
    """Return an `onnxruntime.InferenceSession` on the CPU; its `run` may be called from several threads.

    Args:
        path: The ONNX file.
        threads: CPU threads for one forward; 0 lets the runtime choose.

    Raises:
        BackendMissing: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendMissing("ONNX Runtime is not installed", hint="run `pip install 'olpipe[cpu]'`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = LOG_ERRORS_ONLY
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def session_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: classes that have nothing in common but `Exception`."""
    from onnxruntime.capi import onnxruntime_pybind11_state

    found = vars(onnxruntime_pybind11_state).values()
    return tuple(one for one in found if isinstance(one, type) and issubclass(one, Exception))
