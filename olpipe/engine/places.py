"""Places for loaded models: how many there are, which model gets the next one, and which model has to leave for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from olpipe import machine
from olpipe.engine.resident import POLL_S, Abandoned, Resident
from olpipe.settings import Settings

USUAL_MAX_LOADED = 3
"""How many models are loaded side by side where the settings do not say."""


class Places:
    """Gives places to models that want to be loaded. The one that asks first is served first."""

    def __init__(self, settings: Settings, residents: Callable[[], list[Resident]]) -> None:
        """Make places that are all free.

        Args:
            settings: How many places there are, and how many threads a model gets.
            residents: Returns all models, whether they have a place or not.
        """
        self._settings = settings
        self._residents = residents
        self._lock = threading.Lock()  # never held while anything is waited for
        self._line: list[Resident] = []

    def take(self, resident: Resident, wanted: Callable[[], bool]) -> int:
        """Wait until a model may be loaded, unloading others where that is needed; return the threads that it gets.

        The first model in the line unloads an idle one. Where none is idle, one of the busy models takes no more
        requests until the place is taken: so it becomes idle, however many requests there are for it.

        Raises:
            Abandoned: `wanted` no longer returns True.
        """
        self._line.append(resident)
        asked: Resident | None = None
        try:
            while True:
                with self._lock:
                    others = [one for one in self._residents() if one.occupied and one is not resident]
                    is_first = self._line[0] is resident
                    if resident.occupied or (is_first and self._has_room(resident, others)):
                        resident.occupied = True
                        return self._threads(resident, len(others))
                if not wanted():
                    raise Abandoned
                if is_first:
                    if _one_left(others):
                        continue
                    asked = _ask(others, asked)
                    if asked.leave():
                        continue
                time.sleep(POLL_S)
        finally:
            self._line.remove(resident)
            if asked is not None:
                asked.give_way(asked=False)

    def _has_room(self, resident: Resident, others: list[Resident]) -> bool:
        if len(others) >= (self._settings.max_loaded or USUAL_MAX_LOADED):
            return False
        return not others or machine.available_bytes() >= resident.load.bundle.size_bytes

    def _threads(self, resident: Resident, others: int) -> int:
        """Return how many threads a model gets: as many as were asked for, or its share of the machine's threads."""
        if resident.load.options.threads:
            return resident.load.options.threads
        total = machine.threads(machine.cores())
        return max(1, total // (others + 1)) if total else 0


def _one_left(others: list[Resident]) -> bool:
    """Unload the idle model whose time is up first; return False where none is idle."""
    idle = [one for one in others if one.is_idle]
    return bool(idle) and min(idle, key=Resident.expires_in_s).leave()


def _ask(others: list[Resident], asked: Resident | None) -> Resident:
    """Return the model that is asked to give way: the same one as before, or the one with the shortest keep-alive."""
    if asked is not None and asked.occupied:
        return asked
    if asked is not None:  # it was unloaded, and that was not enough
        asked.give_way(asked=False)
    chosen = min(others, key=lambda one: one.keep_alive_s)
    chosen.give_way(asked=True)
    return chosen
