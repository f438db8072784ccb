"""What every plugin must keep to, as test classes to subclass.

Write a class in your tests that inherits from the contract of what you bring, and give it the
fixtures the contract names; pytest does the rest::

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend(self):
            return MyBackend()
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in ("batch", "models", "photos", "plugin")))

from olpipe.testing.contracts.batch import ExecutorContract, SinkContract, TaskContract  # noqa: E402
from olpipe.testing.contracts.models import BackendContract, ModelSourceContract  # noqa: E402
from olpipe.testing.contracts.photos import ImageLoaderContract, PerceiverContract  # noqa: E402
from olpipe.testing.contracts.plugin import PluginContract  # noqa: E402

__all__ = [
    "BackendContract",
    "ExecutorContract",
    "ImageLoaderContract",
    "ModelSourceContract",
    "PerceiverContract",
    "PluginContract",
    "SinkContract",
    "TaskContract",
]
