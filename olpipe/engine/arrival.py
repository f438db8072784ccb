"""A model on its way onto this machine, and the requests that wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from olpipe.engine.protocol import ErrorValue
from olpipe.engine.resident import CLOSING_S, Abandoned
from olpipe.engine.ticket import Ticket, Waiters
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import ModelBundle

Find = Callable[[ProgressCallback], ModelBundle]
"""Finds a model, or brings it here. An exception that the callback raises ends the search."""

Found = Callable[[ModelBundle, Ticket], None]
"""Sends a ticket to the model that was found."""


class Arrival:
    """Finds one model in a thread of its own, for all requests that ask for it meanwhile.

    When the last of them is cancelled, the search ends, too. What was fetched so far is kept for the next time.
    """

    def __init__(self, model: str, find: Find, progress: ProgressCallback, ended: Callable[[], None]) -> None:
        """Prepare a search. The first ticket that joins starts it.

        Args:
            model: The name that is looked for.
            find: Finds it.
            progress: Told how far that is.
            ended: Called when no ticket can join any more.
        """
        self._find = find
        self._progress = progress
        self._ended = ended
        self._lock = threading.Lock()  # never held while anything is waited for
        self._waiters = Waiters()
        self._found: dict[Ticket, Found] = {}
        self._thread = threading.Thread(target=self._search, name=f"find {model}", daemon=True)
        self._state = "new"

    def join(self, ticket: Ticket, found: Found) -> bool:
        """Let a ticket wait for the model; False where the search is over."""
        with self._lock:
            if self._state == "over":
                return False
            self._found[ticket] = found
            self._waiters.add(ticket)
            if self._state == "new":
                self._state = "searching"
                self._thread.start()
        return True

    def close(self) -> None:
        """Cancel all tickets, and wait a moment for the search to end."""
        with self._lock:
            searching = self._state == "searching"
            self._state = "over"
        for ticket in self._waiters.take_all():
            ticket.cancel()
        if searching:
            self._thread.join(CLOSING_S)

    def _search(self) -> None:
        """Search as long as any ticket waits, then tell the waiting tickets what was found."""
        while True:
            bundle: ModelBundle | None = None
            failure: ErrorValue | None = None
            try:
                bundle = self._find(self._report)
            except Abandoned:
                pass
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is sent to whoever asked
                failure = ErrorValue.of(error)
            with self._lock:
                if bundle is None and failure is None and self._waiters and self._state == "searching":
                    continue  # the search was abandoned, but a new ticket came since: search again
                self._state = "over"
                waiting = self._waiters.take_all()
            break
        self._ended()
        for ticket in waiting:
            if bundle is not None:
                self._found.pop(ticket)(bundle, ticket)
            elif failure is not None:
                ticket.end(failure.to_error())
            else:
                ticket.cancel()

    def _report(self, progress: Progress) -> None:
        if not self._waiters:
            raise Abandoned
        self._progress(progress)
