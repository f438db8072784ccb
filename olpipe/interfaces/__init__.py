"""What a plugin can provide. The author of a plugin has to read only this and `hookspecs`.

Every class here is found by its `name` (or `scheme`), which must be unique among its kind. Import heavy libraries
inside methods: every command loads all plugins, and needs few of them.
"""

from __future__ import annotations

from typing import Literal

from olpipe.interfaces.batch import Executor, Job, RunInfo, Session, Sink, SinkFactory, Task, TaskContext
from olpipe.interfaces.blobs import Outgoing, PartialBlob
from olpipe.interfaces.models import Backend, Prepared, Runner, SingleSequenceRunner
from olpipe.interfaces.photos import ImageLoader, Perceiver
from olpipe.interfaces.progress import Progress, ProgressCallback
from olpipe.interfaces.sources import FoundModel, ModelSource, ModelStore
from olpipe.interfaces.vision import Family, Fitted, Layout, VisionConfig, VisionTensors

__all__ = [
    "Backend",
    "Executor",
    "Family",
    "Fitted",
    "FoundModel",
    "ImageLoader",
    "Job",
    "Layout",
    "ModelSource",
    "ModelStore",
    "Outgoing",
    "PartialBlob",
    "Perceiver",
    "PluginKind",
    "Prepared",
    "Progress",
    "ProgressCallback",
    "RunInfo",
    "Runner",
    "Session",
    "SingleSequenceRunner",
    "Sink",
    "SinkFactory",
    "Task",
    "TaskContext",
    "VisionConfig",
    "VisionTensors",
]

PluginKind = Literal[
    "backends", "families", "model_sources", "image_loaders", "perceivers", "tasks", "sinks", "executors"
]
