"""The hooks a plugin module may implement, in the order of the life of a run.

Write a function of the same name in your module, mark it with `@hookimpl`, and name the module in
your distribution's entry points::

    [project.entry-points.olpipe]
    my-plugin = "my_plugin"

No hook is called per image or per request: each is called once, and returns the things to register.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from olpipe.interfaces import Backend, Executor, ImageLoader, ModelSource, Perceiver, SinkFactory, Task

PROJECT = "olpipe"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# --- command line -----------------------------------------------------------------------------


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands with `cli.add_command`.

    Called only when one of the module's commands is asked for: name each under the entry-point
    group `olpipe.commands`, so that `olpipe --help` can list it without importing your module.
    """


# --- models -----------------------------------------------------------------------------------


@hookspec
def register_model_sources() -> Iterable[ModelSource]:
    """Return places that models come from."""
    return ()


@hookspec
def register_backends() -> Iterable[Backend]:
    """Return libraries that run models.

    The first that does not refuse a model runs it. Those of plugins are asked before those that ship.
    """
    return ()


# --- photos -----------------------------------------------------------------------------------


@hookspec
def register_image_loaders() -> Iterable[ImageLoader]:
    """Return readers of image formats.

    The first that recognises a file reads it. Those of plugins are asked before those that ship.
    """
    return ()


@hookspec
def register_perceivers() -> Iterable[Perceiver]:
    """Return detectors and classifiers; a model's manifest, a recipe or `--perceivers` names them."""
    return ()


# --- batch ------------------------------------------------------------------------------------


@hookspec
def register_tasks() -> Iterable[Task]:
    """Return tasks that recipes can name."""
    return ()


@hookspec
def register_sinks() -> Iterable[SinkFactory]:
    """Return places that records can go; `--sink` and recipes name them."""
    return ()


@hookspec
def register_executors() -> Iterable[Executor]:
    """Return ways to carry a job over many photos; `--executor` and recipes name them."""
    return ()
