"""What every plugin has to do, written as test classes to inherit from.

Write a class in your tests that inherits from the contract for what you bring. Give it the fixtures and attributes that
the contract names. Pytest does the rest::

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend(self):
            return MyBackend()

If a test makes no sense for your plugin, leave it out with `test_… = None` in the class.
"""

from __future__ import annotations

import pytest

_MODULES = (
    *(
        "answers",
        "asking",
        "contexts",
        "conversations",
        "encoders",
        "executors",
        "families",
        "guided",
        "loaders",
        "loading",
    ),
    *("perceivers", "phases", "plugin", "sequences", "side_by_side", "sinks", "sources", "tasks", "vectors"),
)
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _MODULES))

from olpipe.testing.contracts.backends import BackendContract  # noqa: E402
from olpipe.testing.contracts.executors import ExecutorContract  # noqa: E402
from olpipe.testing.contracts.families import FamilyContract  # noqa: E402
from olpipe.testing.contracts.loaders import ImageLoaderContract  # noqa: E402
from olpipe.testing.contracts.perceivers import PerceiverContract  # noqa: E402
from olpipe.testing.contracts.plugin import PluginContract  # noqa: E402
from olpipe.testing.contracts.sequences import ModelSequenceContract  # noqa: E402
from olpipe.testing.contracts.sinks import SinkContract  # noqa: E402
from olpipe.testing.contracts.sources import ModelSourceContract  # noqa: E402
from olpipe.testing.contracts.tasks import TaskContract  # noqa: E402

__all__ = [
    "BackendContract",
    "ExecutorContract",
    "FamilyContract",
    "ImageLoaderContract",
    "ModelSequenceContract",
    "ModelSourceContract",
    "PerceiverContract",
    "PluginContract",
    "SinkContract",
    "TaskContract",
]
