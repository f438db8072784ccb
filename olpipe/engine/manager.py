"""The engine: models by name, one process for each that is loaded, requests in, streams out."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Self

from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.engine.arrival import Arrival
from olpipe.engine.limits import Limits
from olpipe.engine.loaded import LoadedModel, describe
from olpipe.engine.places import Places
from olpipe.engine.protocol import Load
from olpipe.engine.resident import CLOSING_S, Resident
from olpipe.engine.stream import Delivery, Reply, Stream
from olpipe.engine.ticket import Ticket
from olpipe.errors import ModelNotFound, StoreError
from olpipe.generation import GenerateRequest
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import LoadOptions, ModelBundle, ModelName, RunnerInfo
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import backend_for, build
from olpipe.tokens import TokenRequest, Tokens

if TYPE_CHECKING:
    from olpipe.store.library import Library

LONGEST_NAP_S = 3600.0
"""The engine checks at least this often which models have to be unloaded."""

MOST_AT_REST = 64
"""So many models that are not loaded are remembered, each way of loading one counted. Then they are forgotten."""


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
        self._lock = threading.Lock()  # never held while anything is waited for
        self._bundles: dict[str, ModelBundle] = {}
        self._arrivals: dict[str, Arrival] = {}
        self._residents: dict[tuple[str, LoadOptions], Resident] = {}
        self._places = Places(settings, self._all_residents)
        self._mail: SimpleQueue[None] = SimpleQueue()
        self._watch: threading.Thread | None = None
        self._closed = False

    # --- requests -------------------------------------------------------------------------------

    def submit(
        self,
        request: GenerateRequest,
        *,
        client: str = "",
        keep_alive_s: float | None = None,
        options: LoadOptions | None = None,
        delivery: Delivery | None = None,
    ) -> Stream:
        """Send a grounded request to its model and return at once.

        Where that is needed, the model is fetched, built and loaded in the background. The stream raises whatever goes
        wrong, and it can be cancelled at every moment.

        Args:
            request: What is asked.
            client: Who asks. Clients whose requests wait for the same model are served in turns, so that one client
                with many requests does not shut out another.
            keep_alive_s: How long the model stays loaded afterwards; below 0 means for ever. None changes nothing: the
                last value that a request gave holds as long as the model is loaded, and at first the settings' one.
            options: How the model is loaded, where that differs from the settings.
            delivery: Where the chunks go, where the caller does not want to wait for them in a thread.
        """
        ticket = Ticket(request, client, delivery)
        self._send(request.model, ticket, keep_alive_s, options)
        return ticket.stream()

    def embed(
        self,
        request: EmbedRequest,
        *,
        client: str = "",
        keep_alive_s: float | None = None,
        options: LoadOptions | None = None,
    ) -> Reply[Embeddings]:
        """Send texts to a model that turns them into vectors, and return at once, as `submit` does."""
        ticket = Ticket(request, client)
        self._send(request.model, ticket, keep_alive_s, options)
        return ticket.reply()

    def tokens(
        self, request: TokenRequest, *, keep_alive_s: float | None = None, options: LoadOptions | None = None
    ) -> Reply[Tokens]:
        """Send a request about tokens to its model, and return at once, as `submit` does. It waits for no slot."""
        ticket = Ticket(request)
        self._send(request.model, ticket, keep_alive_s, options)
        return ticket.reply()

    def load(
        self, model: str, *, keep_alive_s: float | None = None, options: LoadOptions | None = None
    ) -> Reply[RunnerInfo]:
        """Have a model loaded if it is not loaded yet, and return at once; the reply says what it can do."""
        ticket = Ticket(None)
        self._send(model, ticket, keep_alive_s, options)
        return ticket.reply()

    def bundle(self, model: str, progress: ProgressCallback | None = None) -> ModelBundle:
        """Find a model on this machine, or bring it here, and wait for that.

        Raises:
            ModelNotFound: Neither this machine nor a source has it.
            PullFailed: Its source could not deliver.
        """
        from olpipe.store.resolve import resolve

        known = self._known(model)
        if known is None:
            known = resolve(model, self._library, self._plugins, progress or self._progress)
            with self._lock:
                self._bundles[model] = known
        return known

    # --- what is loaded -------------------------------------------------------------------------

    def loaded(self) -> list[LoadedModel]:
        """Return the models that are in memory or on their way there, those that stay longest first."""
        found = [describe(resident) for resident in self._all_residents() if resident.occupied]
        return sorted(found, key=lambda model: model.expires_in_s, reverse=True)

    def unload(self, model: str) -> bool:
        """Unload a model: at once if it is idle, else as soon as it has answered what it was asked.

        Returns:
            Whether it was loaded.
        """
        name = ModelName.parse(model)
        digest, text = self._digest(name), str(name).casefold()
        occupied = [resident for resident in self._all_residents() if resident.occupied]
        bundles = [(resident, resident.load.bundle) for resident in occupied]
        named = [one for one, bundle in bundles if bundle.digest == digest or str(bundle.name).casefold() == text]
        for resident in named:
            resident.keep_alive_s = 0.0
            resident.leave()
        self.notice()
        return bool(named)

    def close(self) -> None:
        """End all processes. Streams that are still open end as cancelled."""
        with self._lock:
            self._closed = True
            arrivals, residents = list(self._arrivals.values()), list(self._residents.values())
        for arrival in arrivals:
            arrival.close()
        for resident in residents:
            resident.close()
        self.notice()
        if self._watch is not None:
            self._watch.join(CLOSING_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- routing --------------------------------------------------------------------------------

    def _send(self, model: str, ticket: Ticket, keep_alive_s: float | None, options: LoadOptions | None) -> None:
        """Send a ticket on its way.

        Raises:
            ValueError: The engine is closed.
        """
        if self._closed:
            raise ValueError("the engine is closed")
        keep_s = math.inf if keep_alive_s is not None and keep_alive_s < 0 else keep_alive_s
        wanted = self._with_settings(options or LoadOptions())

        def send_again(ticket: Ticket, digest: str) -> bool:
            if self._digest(ModelName.parse(model)) == digest:
                return False
            self._route(model, keep_s, wanted, ticket)
            return True

        ticket.send_again = send_again
        self._route(model, keep_s, wanted, ticket)

    def _route(self, model: str, keep_s: float | None, options: LoadOptions, ticket: Ticket) -> None:
        """Send a ticket to its model, which may have to be found first."""

        def found(bundle: ModelBundle, ticket: Ticket) -> None:
            while (resident := self._longer(bundle, options, ticket) or self._resident(bundle, options)) is not None:
                if resident.submit(ticket, keep_s):
                    self._let_shorter_go(bundle, options)
                    return  # else it was dismissed a moment ago: take a new one
            ticket.cancel()

        known = self._known(model)
        if known is not None:
            found(known, ticket)
            return
        while (arrival := self._arrival(model)) is not None:
            if arrival.join(ticket, found):
                return  # else this search has just ended: try again with a new one
        ticket.cancel()

    def _arrival(self, model: str) -> Arrival | None:
        """Return the search for a model; None where the engine is closed."""
        with self._lock:
            if self._closed:
                return None
            if model not in self._arrivals:
                find = partial(self.bundle, model)
                self._arrivals[model] = Arrival(model, find, self._progress, partial(self._arrived, model))
            return self._arrivals[model]

    def _arrived(self, model: str) -> None:
        with self._lock:
            self._arrivals.pop(model, None)

    def _known(self, model: str) -> ModelBundle | None:
        """Return a bundle that was found before, unless its name stands for another model by now."""
        bundle = self._bundles.get(model)
        if bundle is None or self._digest(bundle.name) == bundle.digest:
            return bundle
        with self._lock:
            self._bundles.pop(model, None)
            named = any(other.digest == bundle.digest for other in self._bundles.values())
        for resident in self._all_residents():
            if resident.load.bundle.digest == bundle.digest and not named:  # nobody can ask for it any more
                resident.keep_alive_s = 0.0
        self.notice()
        return None

    def _digest(self, name: ModelName) -> str:
        """Return the digest of the model that has a name now; empty where none has it."""
        try:
            return self._library.digest(name)
        except (ModelNotFound, StoreError):
            return ""

    def _with_settings(self, options: LoadOptions) -> LoadOptions:
        """Fill in what the settings say where a request says nothing."""
        settings = self._settings
        return replace(
            options,
            threads=options.threads or settings.threads,
            context_length=options.context_length or settings.context_length,
            slots=options.slots or settings.slots,
            cache_type=options.cache_type or settings.cache_type,
        )

    def _resident(self, bundle: ModelBundle, options: LoadOptions) -> Resident | None:
        """Return the resident for a model and the way it is loaded; None where the engine is closed."""
        with self._lock:
            if self._closed:
                return None
            key = (bundle.digest, options)
            if key not in self._residents:
                if len(self._residents) >= MOST_AT_REST:  # requests may ask for any number of ways to load a model
                    self._residents = {kept: one for kept, one in self._residents.items() if not one.dismiss()}
                load = Load(options.backend, bundle, options, self._settings)
                self._residents[key] = Resident(load, self, Limits.of(self._settings), self._progress)
            if self._watch is None:
                self._watch = threading.Thread(target=self._watch_over, name="expiry", daemon=True)
                self._watch.start()
            return self._residents[key]

    def _longer(self, bundle: ModelBundle, options: LoadOptions, ticket: Ticket) -> Resident | None:
        """Return a model in memory that differs from what is asked for only in a longer context; None if there is none.

        The request keeps its own limit, so its answer is the same. Vectors may depend on the context, so they are left
        to a process with exactly the context that is asked for.
        """
        request, length = ticket.request, options.context_length
        if not (length and (request is None or isinstance(request, GenerateRequest))):
            return None
        for resident in self._differing_in_context(bundle, options):
            if resident.load.options.context_length > length:
                if request is not None:
                    ticket.request = replace(request, context_length=request.context_within(length))
                return resident
        return None

    def _let_shorter_go(self, bundle: ModelBundle, options: LoadOptions) -> None:
        """Unload processes of the same model with a shorter context as soon as they are idle: one is enough."""
        for resident in self._differing_in_context(bundle, options):
            if 0 < resident.load.options.context_length < options.context_length:
                resident.keep_alive_s = 0.0
                self.notice()

    def _differing_in_context(self, bundle: ModelBundle, options: LoadOptions) -> list[Resident]:
        """Return the same model in memory, where only the context length is another one."""
        alike = [one for one in self._all_residents() if one.occupied and one.load.bundle.digest == bundle.digest]
        length = options.context_length
        return [one for one in alike if one.load.options != options == replace(one.load.options, context_length=length)]

    def _all_residents(self) -> list[Resident]:
        with self._lock:
            return list(self._residents.values())

    # --- the engine as its models see it --------------------------------------------------------

    def make_room(self, resident: Resident, wanted: Callable[[], bool]) -> int:
        """Wait until a model may be loaded; returns the threads that it gets."""
        return self._places.take(resident, wanted)

    def build(self, load: Load, progress: ProgressCallback) -> Load:
        """Choose the backend where none was asked for, and make what loading needs."""
        bundle = self._laid_out(load.bundle)
        backend = backend_for(bundle, self._plugins.backends, load.options.backend)
        build(bundle, backend, progress)
        return replace(load, backend=backend.name, bundle=bundle)

    def _laid_out(self, bundle: ModelBundle) -> ModelBundle:
        """Return a bundle with its files laid out: they may have been removed, and pulled again since."""
        try:
            found = self._library.get(bundle.name)
        except (ModelNotFound, StoreError):
            return bundle
        return found if found.digest == bundle.digest else bundle

    def notice(self) -> None:
        """Check soon which models have to be unloaded. It takes no lock."""
        self._mail.put(None)

    def _watch_over(self) -> None:
        """Unload models whose time is up."""
        while not self._closed:
            soonest = min((resident.expires_in_s() for resident in self._all_residents()), default=math.inf)
            try:
                self._mail.get(timeout=min(max(soonest, 0.0), LONGEST_NAP_S))
                while True:  # one look is enough for all notices so far
                    self._mail.get_nowait()
            except Empty:
                pass
            for resident in self._all_residents():
                if resident.expires_in_s() <= 0:
                    resident.leave()


def _silent(progress: Progress) -> None:
    """Ignore progress."""
