"""The engine: models by name, one process for each, requests in, streams out."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from olpipe import machine
from olpipe.engine.process import RunnerProcess
from olpipe.engine.protocol import ErrorValue, Load
from olpipe.engine.stream import CANCELLED, Stream
from olpipe.engine.ticket import Ticket
from olpipe.errors import BackendCrashed
from olpipe.generation import GenerateRequest
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import LoadOptions, ModelBundle, RunnerInfo
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import backend_for, build

if TYPE_CHECKING:
    from olpipe.store.library import Library

logger = logging.getLogger(__name__)

MOST_CRASHES = 3
"""So many deaths in a row, with no request seen to its end between them, and a model is not started again."""

GROWTH_BYTES = 1 << 30
"""Without a limit of its own, a process may take twice what it took once its model was loaded, and this."""


class Engine:
    """Loaded models. Use it as a context manager, so that no process outlives it; any thread may call it."""

    def __init__(
        self,
        library: Library,
        plugins: Plugins,
        settings: Settings,
        *,
        progress: ProgressCallback | None = None,
    ) -> None:
        """Make an engine that has loaded nothing.

        Args:
            library: The models on this machine.
            plugins: Where backends, and sources of models that are not here yet, come from.
            settings: How to load models; their processes load plugins under the same ones.
            progress: Told how far pulling and building a model is.
        """
        self._library = library
        self._plugins = plugins
        self._settings = settings
        self._progress = progress or _silent
        self._lock = threading.Lock()
        self._bundles: dict[str, ModelBundle] = {}
        self._models: dict[str, _LoadedModel] = {}
        self._closed = False

    def bundle(self, model: str) -> ModelBundle:
        """Find a model on this machine, or bring it here.

        Raises:
            ModelNotFound: Neither this machine nor a source has it.
        """
        from olpipe.store.resolve import resolve

        with self._lock:
            if model not in self._bundles:
                self._bundles[model] = resolve(model, self._library, self._plugins, self._progress)
            return self._bundles[model]

    def load(self, model: str) -> RunnerInfo:
        """Load a model if it is not loaded yet.

        Raises:
            ModelNotFound: Neither this machine nor a source has it.
            ModelUnsupported: No backend can load it.
            MachineError: Its runtime is missing, or its process died.
        """
        return self._loaded(model).info()

    def submit(self, request: GenerateRequest, *, client: str = "") -> Stream:
        """Send a grounded request to its model, loading that first where needed.

        Args:
            request: What is asked.
            client: Who asks. Clients whose requests wait for the same model are served in turns, so that
                one who sends many at once does not shut out another.

        Raises:
            OlpipeError: As `load`; what befalls the request itself is raised by the stream.
        """
        return self._loaded(request.model).submit(request, client)

    def close(self) -> None:
        """End all processes; streams still open end as cancelled."""
        with self._lock:
            self._closed = True
            models = list(self._models.values())
        for model in models:
            model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _loaded(self, model: str) -> _LoadedModel:
        bundle = self.bundle(model)
        with self._lock:
            if self._closed:
                raise ValueError("the engine is closed")
            if bundle.digest not in self._models:
                self._models[bundle.digest] = _LoadedModel(bundle, self._plugins, self._settings, self._progress)
            return self._models[bundle.digest]


class _LoadedModel:
    """One model's process, started when first needed, again after a crash, and anew when it has grown."""

    def __init__(self, bundle: ModelBundle, plugins: Plugins, settings: Settings, progress: ProgressCallback) -> None:
        self._backends = plugins.backends
        options = LoadOptions(
            threads=settings.threads or machine.threads(machine.cores()), context_length=settings.context_length
        )
        self._load = Load(backend_for(bundle, plugins.backends).name, bundle, options, settings)
        self._limit_bytes = settings.memory_limit << 20
        self._progress = progress
        self._lock = threading.Lock()
        self._closed = False
        self._process: RunnerProcess | None = None
        self._info: RunnerInfo | None = None
        self._most_bytes = 0
        self._crash: ErrorValue | None = None
        self._crashes = 0

    def info(self) -> RunnerInfo:
        """Return what the model can do, loading it where needed.

        Raises:
            OlpipeError: It cannot be loaded, or its process has died too often to try again.
        """
        with self._lock:
            return self._running()[1]

    def submit(self, request: GenerateRequest, client: str) -> Stream:
        """Send a request to the process; raises as `info`."""
        ticket = Ticket(request, client)
        self._hand_over(ticket)
        return ticket.stream()

    def close(self) -> None:
        """End the process, even while it loads."""
        self._closed = True
        process = self._process
        if process is not None:
            process.close()

    def _hand_over(self, ticket: Ticket) -> None:
        """Give a request to the process, and to the next one if that dies just now; raises as `info`."""
        with self._lock:  # so that nobody replaces the process meanwhile
            while not self._running()[0].take(ticket):
                pass

    def _take_over(self, tickets: list[Ticket]) -> None:
        """Have requests answered by the next process that the last one had not begun."""
        name = f"restart {self._load.bundle.name}"
        threading.Thread(target=self._resubmit, args=(tickets,), name=name, daemon=True).start()

    def _resubmit(self, tickets: list[Ticket]) -> None:
        """Hand requests over; when the model cannot be loaded any more, all that are left fail."""
        for place, ticket in enumerate(tickets):
            if ticket.cancelled:
                ticket.delivery.put(CANCELLED)
                continue
            try:
                self._hand_over(ticket)
            except Exception as error:  # noqa: BLE001 - it travels to whoever asked
                failure = ErrorValue.of(error)
                for left in tickets[place:]:
                    left.delivery.put(CANCELLED if self._closed else failure.to_error())
                return

    def _running(self) -> tuple[RunnerProcess, RunnerInfo]:
        """Return the process with the model loaded in it."""
        if self._closed:
            raise ValueError("the engine is closed")
        if self._process is not None and self._process.crash is None and self._has_grown(self._process):
            self._retire(self._process)
        if self._process is not None and self._process.crash is not None:
            self._bury(self._process, self._process.crash)
        if self._crash is not None and self._crashes >= MOST_CRASHES:
            raise BackendCrashed(f"{self._crash.message}, {self._crashes} times in a row", hint=self._crash.hint)
        if self._process is None or self._info is None:
            build(self._load.bundle, self._backends, self._progress)
            self._process = process = RunnerProcess(self._load, self._take_over)
            if self._closed:
                process.close()
                raise ValueError("the engine is closed")
            self._info = self._wait_loaded(process)
            size = machine.resident_bytes(process.pid) or 0
            self._most_bytes = self._limit_bytes or 2 * size + GROWTH_BYTES
        return self._process, self._info

    def _has_grown(self, process: RunnerProcess) -> bool:
        """Say whether a process takes more memory than it may; one that has served nobody yet never does."""
        size = machine.resident_bytes(process.pid) if process.served else None
        if size is None or size <= self._most_bytes:
            return False
        message = "the process of `%s` takes %d MiB of %d: it is replaced"
        logger.info(message, self._load.bundle.name, size >> 20, self._most_bytes >> 20)
        return True

    def _retire(self, process: RunnerProcess) -> None:
        """End a process once it has answered what it was asked; new requests wait for that."""
        process.wait_idle()
        if process.crash is None:
            process.close()
            self._process = self._info = None

    def _wait_loaded(self, process: RunnerProcess) -> RunnerInfo:
        try:
            return process.wait_loaded()
        except BackendCrashed as error:
            self._bury(process, ErrorValue.of(error))
            raise
        except BaseException:  # an interrupt too must leave no process behind
            process.close()
            self._process = None
            raise

    def _bury(self, process: RunnerProcess, crash: ErrorValue) -> None:
        """Let go of a dead process and remember how it died."""
        process.close()
        self._process, self._info = None, None
        self._crash = crash
        self._crashes = 1 if process.served else self._crashes + 1


def _silent(progress: Progress) -> None:
    """Tell nobody."""
