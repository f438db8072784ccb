"""Open a small network on plain ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from olpipe.errors import BackendMissing

LOG_ERRORS_ONLY = 3


def open_session(path: Path, *, threads: int) -> Any:
    """Return an ONNX Runtime session on the CPU; its `run` may be called from several threads.

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
