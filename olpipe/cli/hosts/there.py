"""A server, as what answers."""

from __future__ import annotations

import base64
import json
import math
import mimetypes
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from olpipe.asking.context import within_limit
from olpipe.asking.options import WITHOUT_EFFECT
from olpipe.cli.hosts.host import Conversation, Model, Photo, Turn
from olpipe.client.answers import AGAIN, ServerAnswer
from olpipe.client.steps import step_of
from olpipe.errors import (
    ImageError,
    ImageUnsupported,
    InvalidName,
    ModelNotFound,
    NotAtSource,
    OlpipeError,
    ServerUnreachable,
    SourceUnreachable,
    UsageError,
)
from olpipe.imaging.decode import choose_loader, decode
from olpipe.model import ModelName

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.cli.repl.preferences import Preferences
    from olpipe.cli.repl.spinner import Waiting
    from olpipe.client.server import Server
    from olpipe.embedding import Embeddings

STAYS_FOR_QUESTION_S = 60.0
"""How long a model that was loaded stays at least until it is asked something."""

_FOR_EVER = -1
_BEGUN = "pulling manifest"
"""What a server says before it knows whether there is such a model."""

_NOWHERE = "pull model manifest: file does not exist"
"""What a server says of a model that no source has: in Ollama's words."""


class There:
    """The models of a server. It speaks Ollama's API; where it is olpipe, a few fields more."""

    def __init__(self, app: App, server: Server, waiting: Waiting) -> None:
        """Ask nothing yet.

        Args:
            app: What all commands share.
            server: The server.
            waiting: Shows that something is waited for.
        """
        self._app = app
        self._server = server
        self._waiting = waiting

    @property
    def is_olpipe(self) -> bool:
        """Whether the server says that it is olpipe."""
        return self._server.is_olpipe

    # --- models -----------------------------------------------------------------------------------

    def find(self, model: str, *, pulls: bool) -> Model:
        """Return what is known of a model."""
        self._check_name(model)
        try:
            return _model(model, self._shown(model))
        except ModelNotFound as error:
            missing = error
        if not pulls:
            raise missing
        self._pull(model, missing)
        return _model(model, self._shown(model))

    def load(self, model: Model, preferences: Preferences) -> None:
        """Have a model loaded. The one before leaves when it was idle for as long as the server says."""
        body = self._asking(model, preferences) | {"messages": [], "stream": False}
        keep_s = preferences.keep_alive_s
        if keep_s is not None and keep_s >= 0:  # 0 would unload it, and it must not leave before a question comes
            body["keep_alive"] = max(keep_s, STAYS_FOR_QUESTION_S)
        try:
            with self._waiting.spinner():
                self._server.post("/api/chat", body)
        finally:
            self._waiting.close()

    def show(self, model: Model) -> Mapping[str, Any]:
        """Return all that there is to say of a model."""
        return self._shown(model.full_name)

    def names(self) -> list[str]:
        """Return the names of all models."""
        return [str(model.get("name")) for model in self._server.get("/api/tags").get("models") or ()]

    def save(self, name: str, model: Model, turns: Sequence[Turn], preferences: Preferences) -> None:
        """Make a model of a conversation."""
        self._check_name(name)
        ignored = WITHOUT_EFFECT if self.is_olpipe else ()
        body: dict[str, Any] = {
            "model": name,
            "from": model.full_name,
            "parameters": {key: value for key, value in preferences.parameters.items() if key not in ignored},
            "messages": list(map(_message, turns)),
        }
        if preferences.system:
            body["system"] = preferences.system
        for _ in self._server.lines("/api/create", body):
            pass

    def _check_name(self, name: str) -> None:
        try:
            ModelName.parse(name)
        except InvalidName as error:
            from olpipe.store.sources import offers
            from olpipe.store.unknown import no_name

            raise no_name(name, offers(self._app.plugins)) from error

    def _shown(self, model: str) -> dict[str, Any]:
        """Return what the server shows of a model.

        Raises:
            ModelNotFound: The server does not have it.
        """
        from olpipe.store.manifests import nearest_models

        try:
            return self._server.post("/api/show", {"model": model})
        except ModelNotFound as error:
            close = [] if error.hint else nearest_models(model, self.names())
            hint = f"did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else error.hint
            raise ModelNotFound(f"model `{model}` is not on this machine", hint=hint) from error

    def _pull(self, model: str, missing: ModelNotFound) -> None:
        """Let the server pull a model.

        Raises:
            ModelNotFound: It cannot be had.
        """
        try:
            for line in self._server.lines("/api/pull", {"model": model}):
                if line.get("status") != _BEGUN:
                    self._waiting(step_of(line))
        except (NotAtSource, SourceUnreachable) as error:
            reason = error.hint if isinstance(error, NotAtSource) else error.message
            hint = "; ".join(part for part in (missing.hint, reason) if part)
            raise ModelNotFound(missing.message, hint=hint) from error
        except OlpipeError as error:
            if error.message != _NOWHERE:
                raise
            raise missing from error
        finally:
            self._waiting.close()

    # --- questions --------------------------------------------------------------------------------

    def ask(self, model: Model, conversation: Conversation, preferences: Preferences) -> ServerAnswer:
        """Ask a model, and wait until its answer begins."""
        body = self._asking(model, preferences)
        messages = [_message(turn) | self._images(turn.photos) for turn in conversation.turns]
        body |= {"messages": messages, "truncate": conversation.truncate}
        if not conversation.opens and self.is_olpipe:
            body["opening"] = False
        schema = None if preferences.format_ is None else "{}" if preferences.format_ == "json" else preferences.format_
        lines = self._server.lines("/api/chat", body)
        try:
            with self._waiting.spinner():
                return ServerAnswer(lines, place=str(self._server.address), schema=schema)
        except ServerUnreachable as error:
            raise ServerUnreachable(error.message, hint=AGAIN) from error
        except ImageError:
            self._blame([photo for turn in conversation.turns for photo in turn.photos])
            raise

    def embed(self, model: Model, text: str, preferences: Preferences, dimensions: int | None) -> Embeddings:
        """Return the vector of a text."""
        import numpy as np

        from olpipe.embedding import Embeddings
        from olpipe.generation import Timings

        asked = {"model": model.name, "input": text, "dimensions": dimensions, **_keep_alive(preferences)}
        body = self._server.post("/api/embed", {key: value for key, value in asked.items() if value is not None})
        usual_ns = body.get("total_duration", 0) - body.get("load_duration", 0)
        timings = Timings(prompt_ns=body.get("prompt_eval_duration", usual_ns))
        return Embeddings(np.array(body["embeddings"], np.float32), body.get("prompt_eval_count", 0), timings)

    def _asking(self, model: Model, preferences: Preferences) -> dict[str, Any]:
        """Return the body of a request without its messages.

        Raises:
            UsageError: The server is not olpipe, and does not know what is asked for.
        """
        body: dict[str, Any] = {"model": model.name, **_keep_alive(preferences)}
        options, load = dict(preferences.parameters), preferences.options.load
        within_limit(load.context_length, model.full_name, model.context_length)  # warns where it is not
        if image_tokens := load.image_tokens:
            self._needs_olpipe("a number of image tokens")
            options["image_tokens"] = image_tokens
        if options:
            body["options"] = options
        if preferences.perceivers is not None:
            self._needs_olpipe("perceivers")
            body["perceivers"] = list(preferences.perceivers)
        if preferences.format_ is not None:
            body["format"] = "json" if preferences.format_ == "json" else json.loads(preferences.format_.strip(_BLANKS))
        if model.thinks:
            body["think"] = {"on": True, "off": False}.get(preferences.think or "on", preferences.think)
        return body

    def _needs_olpipe(self, what: str) -> None:
        if not self.is_olpipe:
            message = f"the server at {self._server.address} is not olpipe, and does not know {what}"
            raise UsageError(message, hint="leave that out, or use the engine of this command: OLPIPE_SERVER=off")

    def _images(self, photos: Sequence[Photo]) -> dict[str, Any]:
        return {"images": list(map(self._encoded, photos))} if photos else {}

    def _encoded(self, photo: Photo) -> str:
        """Return the bytes of a photo in base64. Where they do not tell the format, its name has to be told, too."""
        data = base64.b64encode(photo.data).decode()
        if not (photo.suffix and self.is_olpipe):
            return data
        try:
            choose_loader(photo.data, "", self._app.plugins.image_loaders)
            return data
        except ImageUnsupported:
            kind = mimetypes.guess_type(f"photo{photo.suffix}")[0] or f"image/{photo.suffix[1:]}"
            return f"data:{kind};base64,{data}"

    def _blame(self, photos: Sequence[Photo]) -> None:
        """Find the photo that cannot be decoded.

        Raises:
            ImageError: It is found. The message names it.
        """
        for photo in photos:
            with photo.blamed():
                decode(photo.data, photo.suffix, self._app.plugins.image_loaders)


_BLANKS = "\ufeff \t\r\n"


def _model(name: str, shown: Mapping[str, Any]) -> Model:
    details, info = shown.get("details") or {}, shown.get("model_info") or {}
    length = details.get("context_length") or info.get(f"{info.get('general.architecture')}.context_length") or 0
    return Model(
        name,
        str(ModelName.parse(name)),
        tuple(shown.get("capabilities") or ("completion",)),
        length,
        tuple(shown.get("perceivers") or ()),
        tuple(_turn(message) for message in shown.get("messages") or ()),
    )


def _turn(message: Mapping[str, Any]) -> Turn:
    return Turn(message.get("role", "user"), message.get("content") or "", message.get("thinking") or "")


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.thinking:
        message["thinking"] = turn.thinking
    return message


def _keep_alive(preferences: Preferences) -> dict[str, Any]:
    seconds = preferences.keep_alive_s
    if seconds is None:
        return {}
    return {"keep_alive": _FOR_EVER if seconds < 0 or math.isinf(seconds) else seconds}
