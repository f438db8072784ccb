"""The contract of a plugin's module."""

from __future__ import annotations

import importlib
import subprocess
import sys

from olpipe.plugins import Plugins

HEAVY = (
    *("PIL", "cv2", "httpx", "jsonschema", "llguidance", "numpy", "onnx", "onnxruntime", "onnxruntime_genai"),
    *("pandas", "requests", "scipy", "sklearn", "tensorflow", "torch", "transformers"),
)
"""What takes long to import; a plugin is loaded before it is known whether the command needs it."""


class PluginContract:
    """Every module named in the entry points `olpipe` and `olpipe.commands`.

    Attributes:
        module: Its dotted name.
    """

    module: str

    def test_it_is_accepted(self) -> None:
        """Its hooks are hooks, and what they return is what they promise."""
        Plugins().add(importlib.import_module(self.module), "plugin")

    def test_importing_it_imports_nothing_heavy(self) -> None:
        """`olpipe --help` and every other command must not wait for it."""
        code = f"import sys, {self.module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == []
