"""The engine in this process, as what answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from olpipe.asking.asker import Asker, judge, without_opening
from olpipe.asking.context import load_options
from olpipe.asking.options import WITHOUT_EFFECT
from olpipe.cli.asked_model import bundle_of, sees, sight
from olpipe.cli.hosts.host import Conversation, Model, Photo, Turn
from olpipe.cli.repl.terminal import interrupting
from olpipe.errors import GenerationError, InvalidName, ModelNotFound
from olpipe.generation import Chunk, FinishReason
from olpipe.messages import ImagePart, Message, Part, TextPart, ThinkingPart
from olpipe.model import ModelName

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.cli.repl.preferences import Preferences
    from olpipe.cli.repl.spinner import Waiting
    from olpipe.embedding import Embeddings
    from olpipe.engine.manager import Engine
    from olpipe.engine.stream import Reply, Stream
    from olpipe.generation import Completion, GenerateRequest
    from olpipe.image import DecodedImage
    from olpipe.model import LoadOptions, ModelBundle, RunnerInfo

STAYS_FOR_QUESTION_S = 60.0
"""How long a model that was loaded stays at least until it is asked something."""


class EngineAnswer:
    """An answer of the engine, as it comes, or as a whole where its boxes have to become pixels of the photo first."""

    def __init__(self, asker: Asker, request: GenerateRequest, stream: Stream, *, flows: bool) -> None:
        """Take an answer on its way.

        Args:
            asker: What made the request.
            request: What was asked.
            stream: The answer, in the model's terms.
            flows: Whether it can be shown as it comes.
        """
        self._asker = asker
        self._request = request
        self._stream = stream
        self._flows = flows

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the pieces."""
        for chunk in self._stream:
            yield chunk if self._flows else Chunk(thinking=chunk.thinking)
        completion = self.completion()
        if not self._flows and completion.finish_reason is not FinishReason.CANCELLED:
            yield Chunk(completion.text)

    def cancel(self) -> None:
        """End the answer."""
        self._stream.cancel()

    def completion(self) -> Completion:
        """Return the whole answer."""
        completion = self._stream.completion()
        if self._flows or completion.finish_reason is FinishReason.CANCELLED:
            return completion
        return self._asker.heard(self._request, completion)

    def judge(self, completion: Completion) -> None:
        """Judge a document."""
        judge(self._request, completion)


class Here:
    """The models of this machine, which the engine of this process runs."""

    is_olpipe = True

    def __init__(self, app: App, engine: Engine, waiting: Waiting) -> None:
        """Load nothing yet.

        Args:
            app: What all commands share.
            engine: The engine.
            waiting: Shows that something is waited for.
        """
        self._app = app
        self._engine = engine
        self._waiting = waiting
        self._bundles: dict[str, ModelBundle] = {}
        self._decoded: WeakKeyDictionary[Photo, DecodedImage] = WeakKeyDictionary()
        self._loaded: tuple[Model, LoadOptions] | None = None

    # --- models -----------------------------------------------------------------------------------

    def find(self, model: str, *, pulls: bool) -> Model:
        """Return what is known of a model."""
        bundle = bundle_of(self._app, model, self._engine, self._waiting) if pulls else self._bundle_here(model)
        self._waiting.close()
        self._bundles[model] = bundle
        config = bundle.config
        opening = tuple(map(_turn, bundle.messages))
        return Model(
            model, str(bundle.name), config.capabilities, config.context_length, config.perceivers, opening=opening
        )

    def load(self, model: Model, preferences: Preferences) -> None:
        """Have a model loaded, and let the one before go."""
        bundle = self._bundles[model.name]
        Asker(bundle, preferences.wishes(thinks=model.thinks), self._app.plugins)  # raises where a perceiver is missing
        options = self._options(bundle, preferences)
        self._load(model.name, options, preferences.keep_alive_s)
        before, self._loaded = self._loaded, (model, options)
        if before is not None and self._bundles[before[0].name].digest != bundle.digest:
            self._engine.unload(before[0].name)

    def show(self, model: Model) -> Mapping[str, Any]:
        """Return all that there is to say of a model."""
        from olpipe.store.summary import shown

        return shown(self._bundles[model.name].name, self._app.library)

    def names(self) -> list[str]:
        """Return the names of all models."""
        return [str(name) for name in self._app.library.names()]

    def save(self, name: str, model: Model, turns: Sequence[Turn], preferences: Preferences) -> None:
        """Make a model of a conversation."""
        from olpipe.store.create import NewModel, check, create

        new = NewModel(
            ModelName.parse(name),
            self._bundles[model.name].name,
            system=preferences.system or "",
            parameters={key: value for key, value in preferences.parameters.items() if key not in WITHOUT_EFFECT},
            messages=tuple(_message(turn, ()) for turn in turns),
        )
        check(new, self._app.library)
        create(new, self._app.library, self._app.plugins, progress=lambda progress: None)

    def _bundle_here(self, model: str) -> ModelBundle:
        from olpipe.store.sources import offers
        from olpipe.store.unknown import no_name, not_here

        app = self._app
        try:
            return app.library.get(ModelName.parse(model))
        except InvalidName as error:
            raise no_name(model, offers(app.plugins)) from error
        except ModelNotFound as error:
            raise not_here(model, app.library, app.plugins, offers(app.plugins)) from error

    # --- questions --------------------------------------------------------------------------------

    def ask(self, model: Model, conversation: Conversation, preferences: Preferences) -> EngineAnswer:
        """Ask a model."""
        bundle = self._bundles[model.name]
        if not conversation.opens:
            bundle = without_opening(bundle)
        options = self._options(bundle, preferences)
        if self._loaded is not None and self._loaded != (model, options):  # one process is enough
            self._engine.unload(self._loaded[0].name)
            self._loaded = model, options
        eyes = {}
        if sees(bundle):
            info = self._load(model.name, options, preferences.keep_alive_s)
            eyes = sight(self._app, bundle, info, backend=options.backend)
        wishes = replace(preferences.wishes(thinks=model.thinks), truncate=conversation.truncate)
        asker = Asker(bundle, wishes, self._app.plugins, evidence=self._app.evidence, **eyes)
        messages = [_message(turn, [self._image(photo, asker) for photo in turn.photos]) for turn in conversation.turns]
        request = asker.request(model.name, messages)
        spoken = asker.spoken(request)
        stream = self._engine.submit(spoken, keep_alive_s=preferences.keep_alive_s, options=options)
        return EngineAnswer(asker, request, stream, flows=spoken is request)

    def embed(self, model: Model, text: str, preferences: Preferences, dimensions: int | None) -> Embeddings:
        """Return the vector of a text."""
        from olpipe.embedding import EmbedRequest

        request = EmbedRequest(model.name, (text,), dimensions)
        return self._engine.embed(request, options=preferences.load).result()

    def _image(self, photo: Photo, asker: Asker) -> DecodedImage:
        """Decode a photo. One of an earlier turn was decoded before."""
        if photo not in self._decoded:
            with photo.blamed():
                self._decoded[photo] = asker.image(photo.data, suffix=photo.suffix)
        return self._decoded[photo]

    # --- loading ----------------------------------------------------------------------------------

    def _options(self, bundle: ModelBundle, preferences: Preferences) -> LoadOptions:
        return load_options(preferences.options.load, bundle, usual=self._app.settings.context_length)

    def _load(self, model: str, options: LoadOptions, keep_s: float | None) -> RunnerInfo:
        if keep_s is not None and keep_s >= 0:  # it must not leave before a question reaches it
            keep_s = max(keep_s, STAYS_FOR_QUESTION_S)
        return self._wait(self._engine.load(model, keep_alive_s=keep_s, options=options))

    def _wait(self, reply: Reply[RunnerInfo]) -> RunnerInfo:
        """Wait until a model is loaded. Ctrl-C gives that up."""
        try:
            with interrupting(reply.cancel) as interruption, self._waiting.spinner():
                return reply.result()
        except GenerationError as error:
            if interruption.happened:
                raise KeyboardInterrupt from error
            raise
        finally:
            self._waiting.close()


def _turn(message: Message) -> Turn:
    thinking = "".join(part.text for part in message.of_kind(ThinkingPart))
    return Turn(message.role, message.text, thinking)


def _message(turn: Turn, images: Sequence[DecodedImage]) -> Message:
    parts: list[Part] = [ThinkingPart(turn.thinking)] if turn.thinking else []
    parts += map(ImagePart, images)
    if turn.text or not parts:
        parts.append(TextPart(turn.text))
    return Message(turn.role, tuple(parts))
