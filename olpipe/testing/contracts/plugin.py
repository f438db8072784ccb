"""The contract of a plugin's module."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterable

import click

from olpipe import hookspecs
from olpipe.plugins import Plugins

HEAVY = (
    *("PIL", "cv2", "httpx", "jsonschema", "llguidance", "numpy", "onnx", "onnxruntime", "onnxruntime_genai"),
    *("pandas", "requests", "scipy", "sklearn", "tensorflow", "torch", "transformers"),
)
"""Modules that take long to import. Every command loads all plugins, and few commands need these modules."""


HOOKS = frozenset(name for name in vars(hookspecs) if name.startswith("register_")) - {"register_commands"}


class PluginContract:
    """Every module named in the entry points `olpipe` and `olpipe.commands`.

    Attributes:
        module: Its dotted name.
        commands: The names of its entry points in `olpipe.commands`; empty for a module that is named in `olpipe`.
    """

    module: str
    commands: tuple[str, ...] = ()

    def test_it_is_accepted(self) -> None:
        """Every hook that it implements exists, and returns what it has to."""
        Plugins().add(importlib.import_module(self.module), "plugin")

    def test_every_hook_returns_what_it_brings(self) -> None:
        """A hook without a `return` would bring nothing, and nobody would notice."""
        hooks = {name: found for name, found in vars(importlib.import_module(self.module)).items() if name in HOOKS}
        assert [name for name, hook in hooks.items() if not isinstance(hook(), Iterable)] == []

    def test_it_brings_its_commands(self) -> None:
        """Each has the name of its entry point, and says what it does."""
        group = click.Group()
        register = getattr(importlib.import_module(self.module), "register_commands", None)
        if register is not None:
            register(cli=group)
        assert sorted(group.commands) == sorted(self.commands)
        assert [name for name, command in group.commands.items() if not (command.help or "").strip()] == []

    def test_importing_it_imports_nothing_heavy(self) -> None:
        """`olpipe --help` and every other command must not wait for it."""
        assert self._imported("") == []

    def test_what_it_brings_imports_nothing_heavy(self) -> None:
        """Every command calls the hooks, so libraries are imported inside methods."""
        assert self._imported("from olpipe.plugins import Plugins; Plugins().add(plugin, 'plugin')") == []

    def _imported(self, then: str) -> list[str]:
        """Return the heavy modules that a new process has imported after it imported the module and ran some code."""
        code = f"import sys, {self.module} as plugin\n{then}\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.split()
