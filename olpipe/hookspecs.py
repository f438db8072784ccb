"""The hooks that a plugin module may implement, in the order in which a run needs them.

Write a function of the same name in your module, mark it with `@hookimpl`, and name the module in
your distribution's entry points::

    [project.entry-points.olpipe]
    my-plugin = "my_plugin"

Each hook is called once, not for each image or request. It returns the things to register as a list or a tuple, even
where there is only one, and `()` where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from olpipe.interfaces import Backend, Executor, Family, ImageLoader, ModelSource, Perceiver, SinkFactory, Task

PROJECT = "olpipe"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# --- command line -----------------------------------------------------------------------------


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands with `cli.add_command`.

    This hook is called only when one of the module's commands is asked for. Name each command under the entry-point
    group `olpipe.commands`, so that `olpipe --help` can list it without importing your module. The name there and the
    command's own name must be the same.
    """


# --- models -----------------------------------------------------------------------------------


@hookspec
def register_model_sources() -> Iterable[ModelSource]:
    """Return places that models come from."""
    return ()


@hookspec
def register_backends() -> Iterable[Backend]:
    """Return libraries that run models.

    The first backend that does not refuse a model runs it. Backends of plugins are asked before those that ship with
    olpipe.
    """
    return ()


@hookspec
def register_families() -> Iterable[Family]:
    """Return families of vision models, which the backend `onnx` converts and shows images to.

    The first family that names the type of a vision encoder reads it. Families of plugins are asked before those that
    ship with olpipe.
    """
    return ()


# --- photos -----------------------------------------------------------------------------------


@hookspec
def register_image_loaders() -> Iterable[ImageLoader]:
    """Return readers of image formats.

    The first loader that recognises a file reads it. Loaders of plugins are asked before those that ship with olpipe.
    """
    return ()


@hookspec
def register_perceivers() -> Iterable[Perceiver]:
    """Return perceivers, like detectors and classifiers; a model's manifest, a recipe or `--perceivers` names them."""
    return ()


# --- batch ------------------------------------------------------------------------------------


@hookspec
def register_tasks() -> Iterable[Task]:
    """Return tasks that recipes can name."""
    return ()


@hookspec
def register_sinks() -> Iterable[SinkFactory]:
    """Return factories of sinks, which write records; `--sink` and recipes name them."""
    return ()


@hookspec
def register_executors() -> Iterable[Executor]:
    """Return executors, which work through the photos of a run; `--executor` and recipes name them."""
    return ()
