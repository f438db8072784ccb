"""llama.cpp's server as another process, for the benchmarks that compare with it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import IO, Any

ENDS_WITHIN_S = 10


class LlamaServer:
    """A running server.

    Attributes:
        address: Where it listens: `http://…`.
    """

    def __init__(self, python: Path, wanted: dict[str, Any], log: IO[str] | int = subprocess.DEVNULL) -> None:
        """Start it, and wait until it listens.

        Args:
            python: An interpreter with the package `xllamacpp`.
            wanted: What `run_llama_server.py` takes.
            log: Where its log goes.

        Raises:
            SystemExit: It did not start.
        """
        script = Path(__file__).with_name("run_llama_server.py")
        self._process = subprocess.Popen(
            [str(python), str(script), json.dumps(wanted)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.address = next((line.strip() for line in self._process.stdout if line.startswith(("http", "error"))), "")
        if not self.address.startswith("http"):
            raise SystemExit(self.address or "llama.cpp did not start")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def close(self) -> None:
        """Stop it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
