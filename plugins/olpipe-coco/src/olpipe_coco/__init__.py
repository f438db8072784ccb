"""The sinks `coco`, `yolo`, `voc` and `label-studio`: photos and boxes for tools that train and label."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import SinkFactory
from olpipe_coco.coco import CocoSinkFactory
from olpipe_coco.label_studio import LabelStudioSinkFactory
from olpipe_coco.voc import VocSinkFactory
from olpipe_coco.yolo import YoloSinkFactory


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Bring the four sinks."""
    return (CocoSinkFactory(), YoloSinkFactory(), VocSinkFactory(), LabelStudioSinkFactory())
