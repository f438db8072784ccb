"""The models of a server."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from olpipe.cli.inventory.models import no_paths
from olpipe.errors import ModelNotFound, NotAtSource, OlpipeError, ServerUnreachable, UsageError
from olpipe.model import ModelName

if TYPE_CHECKING:
    from pathlib import Path

    from olpipe.cli.inventory.models import Body, Tell
    from olpipe.cli.inventory.plan import Plan
    from olpipe.client.server import Server

logger = logging.getLogger(__name__)

_BEGUN, _SUCCESS = "pulling manifest", "success"
_NOWHERE = "pull model manifest: file does not exist"
"""What a server says of a model that no source has."""

_INVALID = "invalid model name"


class There:
    """The models of a server. It speaks Ollama's API; where it is olpipe, a few fields more."""

    def __init__(self, server: Server, home: Path) -> None:
        """Ask nothing yet.

        Args:
            server: The server.
            home: OLPIPE_HOME. Where the server has the same one, it may be asked to read files.
        """
        self._server = server
        self._home = home

    def listed(self) -> list[Body]:
        """Return what there is to say of all models."""
        return _models(self._server.get("/api/tags"))

    def shown(self, name: str, *, verbose: bool = False) -> Body:
        """Return all that there is to say of a model."""
        with self._telling(name):
            return self._server.post("/api/show", {"model": name, "verbose": verbose, "facts": True})

    def loaded(self) -> list[Body]:
        """Return what there is to say of the models in memory."""
        return _models(self._server.get("/api/ps"))

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""
        with self._telling(source):
            ModelName.parse(destination)
            self._server.post("/api/copy", {"source": source, "destination": destination})

    def remove(self, name: str) -> None:
        """Remove a model. Ollama does not unload it by itself."""
        with self._telling(name):
            if not self._server.is_olpipe:
                self._stop(name)
            self._server.post("/api/delete", {"model": name}, method="DELETE")

    def unload(self, name: str) -> None:
        """Take a model out of memory."""
        with self._telling(name):
            self._server.post("/api/generate", {"model": name, "keep_alive": 0, "stream": False})

    def pull(self, plan: Plan, tell: Tell) -> None:
        """Let the server bring a model to it."""
        try:
            self._follow("/api/pull", self._wanted(plan), tell, waits=plan.origin is None)
        except NotAtSource as error:
            raise _as_told_here(error, plan) from error
        except OlpipeError as error:
            if error.message == _INVALID and plan.path is not None:
                reason = f"the server at {self._server.address} has another user, or another OLPIPE_HOME"
                raise no_paths(plan.source, reason) from error
            if error.message != _NOWHERE:
                raise
            raise _as_told_here(error, plan) from error

    def push(self, name: str, tell: Tell, *, insecure: bool) -> str:
        """Let the server send a model to where its name says."""
        with self._telling(name):
            self._follow("/api/push", {"model": name, "insecure": insecure}, tell)
        wanted = str(ModelName.parse(name))
        known = (str(model.get("name")) for model in self.listed())
        return next((other for other in known if other.casefold() == wanted.casefold()), wanted)

    @contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        """Say that there is no such model in the words in which it is said without a server.

        Raises:
            InvalidName: The text is not a name.
            ModelNotFound: The server has no such model.
        """
        from olpipe.store.manifests import not_found

        parsed = ModelName.parse(name)
        try:
            yield
        except ModelNotFound as error:
            raise not_found(parsed, [str(model.get("name")) for model in self.listed()]) from error

    def _stop(self, name: str) -> None:
        try:
            self._server.post("/api/generate", {"model": name, "keep_alive": 0, "stream": False})
        except (ModelNotFound, ServerUnreachable):
            raise
        except OlpipeError:
            logger.warning("unable to stop model '%s'", name)

    def _wanted(self, plan: Plan) -> dict[str, Any]:
        """Return the body of a request for a pull.

        Raises:
            UsageError: The server cannot do that.
        """
        body: dict[str, Any] = {"model": plan.source, "insecure": plan.insecure}
        place, path = f"the server at {self._server.address}", plan.path
        if path is not None:
            if not self._server.address.is_local:
                raise no_paths(plan.source, f"{place} is on another one")
            if not self._server.is_olpipe:
                raise no_paths(plan.source, f"{place}, which is not olpipe, takes none")
            from olpipe.network.proof import prove

            body |= {"model": path, "proof": prove(self._home, path)}
        if plan.called is not None:
            if not self._server.is_olpipe:
                message = f"{place} is not olpipe, and cannot give a model that it pulls another name"
                raise UsageError(message, hint="leave out `--name`, then run `olpipe cp`")
            body["destination"] = str(plan.called)
        return body

    def _follow(self, path: str, body: Mapping[str, Any], tell: Tell, *, waits: bool = False) -> None:
        """Send a request, and tell every line of its answer.

        Args:
            path: Where it goes.
            body: The request.
            tell: Told every line.
            waits: Whether nothing is told before the server has found out whether there is such a model.

        Raises:
            ServerUnreachable: The server goes away before it is done.
        """
        last: Body = {}
        for last in self._server.lines(path, body):
            if not (waits and last.get("status") == _BEGUN):
                tell(last)
        if last.get("status") != _SUCCESS:
            message = f"the server at {self._server.address} went away before it was done"
            raise ServerUnreachable(message, hint="run the command again: what has come so far is kept")


def _models(body: Body) -> list[Body]:
    found = body.get("models")
    return [model for model in found if isinstance(model, dict)] if isinstance(found, list) else []


def _as_told_here(error: OlpipeError, plan: Plan) -> OlpipeError:
    """Return the error for a model that no source has. Ollama's text does not say which model that is."""
    if isinstance(error, NotAtSource):  # the hint says what the source said
        return NotAtSource(error.hint or error.message)
    if plan.missing is not None:
        return plan.missing
    return ModelNotFound(f"no source has a model `{plan.source}`", hint=error.hint)
