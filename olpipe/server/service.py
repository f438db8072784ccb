"""What all routes share: the models, the engine, and the way from a question to an answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from olpipe.asking.asker import Asker
from olpipe.asking.image_tokens import check_image_tokens
from olpipe.asking.interpreting import finding_about, interpreter
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.engine.stream import Delivery, Reply, Stream
from olpipe.errors import ModelNotFound, UsageError, cannot_see
from olpipe.generation import Completion, GenerateRequest
from olpipe.image import USUAL_PIXELS
from olpipe.messages import ImagePart, Message
from olpipe.model import LoadOptions, ModelBundle, ModelName, RunnerInfo
from olpipe.server.question import EncodedImage, Question, Turn, VectorQuestion

if TYPE_CHECKING:
    from olpipe.engine.manager import Engine
    from olpipe.guidance.interpreter import Interpreter
    from olpipe.perception.evidence_cache import EvidenceCache
    from olpipe.plugins import Plugins
    from olpipe.settings import Settings
    from olpipe.store.library import Library


@dataclass(frozen=True, slots=True)
class Asked:
    """A request on its way to a model.

    Attributes:
        question: What the client asked.
        request: The request in the client's terms: boxes are in pixels of the photo.
        stream: The answer to come, in the model's terms.
        asker: Turns the model's terms into the client's.
        flows: Whether the answer can be shown as it comes. Where boxes have to become pixels of the photo, it cannot.
    """

    question: Question
    request: GenerateRequest
    stream: Stream
    asker: Asker
    flows: bool

    def heard(self, completion: Completion) -> Completion:
        """Return the whole answer in the client's terms."""
        return completion if self.flows else self.asker.heard(self.request, completion)


class Service:
    """The models of this machine, as the routes use them. Its methods may wait, so routes call them in threads."""

    def __init__(
        self,
        settings: Settings,
        plugins: Plugins,
        library: Library,
        engine: Engine,
        evidence: EvidenceCache | None = None,
    ) -> None:
        self.settings = settings
        self.plugins = plugins
        self.library = library
        self.engine = engine
        self._evidence = evidence

    def close(self) -> None:
        """Unload all models, and end what is being answered."""
        self.engine.close()
        if self._evidence is not None:
            self._evidence.close()

    def bundle(self, model: str) -> ModelBundle:
        """Return a model that is on this machine.

        Raises:
            InvalidName: The text is not a name.
            ModelNotFound: It is not on this machine. Nothing is pulled for a request.
        """
        name = ModelName.parse(model)
        try:
            self.library.digest(name)
        except ModelNotFound as error:
            raise ModelNotFound(f"model '{model}' not found", hint=f"run `olpipe pull {model}`") from error
        return self.engine.bundle(model)

    def ask(self, question: Question, delivery: Delivery | None = None, *, client: str = "") -> Asked:
        """Send a question to its model. This waits only where a model that sees has to be loaded first.

        Args:
            question: What is asked.
            delivery: Where the chunks go; None makes a queue, which the stream reads.
            client: Who asks.

        Raises:
            OlpipeError: The question cannot be answered by this model.
        """
        bundle = self.bundle(question.model)
        self.check(bundle, question)
        question = self._with_usual_thinking(bundle, question)
        options = self.load_options(question.options)
        info = self._info(bundle, question, options)
        asker = Asker(
            bundle,
            question.wishes,
            self.plugins,
            model_pixels=(info.fit_pixels if info else 0) or USUAL_PIXELS,
            evidence=self._evidence,
            interpreter=self._interpreter(bundle, info, options),
        )
        request = asker.request(question.model, [_message(asker, turn) for turn in question.turns])
        spoken = asker.spoken(request)
        stream = self.engine.submit(
            spoken, client=client, keep_alive_s=question.keep_alive_s, options=options, delivery=delivery
        )
        return Asked(question, request, stream, asker, spoken is request)

    def embed(self, question: VectorQuestion, *, client: str = "") -> Reply[Embeddings]:
        """Send texts to a model that makes vectors of them."""
        self.bundle(question.model)
        request = EmbedRequest(question.model, question.texts, question.dimensions, question.truncate)
        return self.engine.embed(
            request, client=client, keep_alive_s=question.keep_alive_s, options=self.load_options(question.options)
        )

    def load(self, model: str, *, keep_alive_s: float | None, options: LoadOptions) -> RunnerInfo:
        """Have a model loaded, and wait for that."""
        self.bundle(model)
        return self.engine.load(model, keep_alive_s=keep_alive_s, options=self.load_options(options)).result()

    def unload(self, model: str) -> bool:
        """Unload a model. Returns False where it was not loaded."""
        self.bundle(model)
        return self.engine.unload(model)

    def check(self, bundle: ModelBundle, question: Question) -> None:
        """Refuse what the model cannot do, before anything is loaded.

        Raises:
            UsageError: The model lacks a capability.
        """
        check_image_tokens(bundle, question.options.image_tokens, hint="leave out `image_tokens`")
        for capability in question.needs:
            if capability not in bundle.config.capabilities:
                raise UsageError(f'"{question.model}" does not support {_VERBS.get(capability, capability)}')
        if question.images and not self.sees(bundle, question):
            raise cannot_see(question.model)

    def sees(self, bundle: ModelBundle, question: Question) -> bool:
        """Say whether anything looks at the images of a question: the model, or a perceiver."""
        perceivers = question.wishes.perceivers
        return "vision" in bundle.config.capabilities or bool(
            bundle.config.perceivers if perceivers is None else perceivers
        )

    def load_options(self, options: LoadOptions) -> LoadOptions:
        """Return how a model is loaded. A smaller context is a limit of the request and loads nothing anew."""
        allowed = self.settings.context_length
        if options.context_length and (not allowed or options.context_length <= allowed):
            return replace(options, context_length=0)
        return options

    def _with_usual_thinking(self, bundle: ModelBundle, question: Question) -> Question:
        """Have a model that can think do so, where the client does not say whether it should. Ollama does the same."""
        if question.wishes.think is not None or question.wishes.raw or "thinking" not in bundle.config.capabilities:
            return question
        return replace(question, wishes=replace(question.wishes, think="on"))

    def _info(self, bundle: ModelBundle, question: Question, options: LoadOptions) -> RunnerInfo | None:
        """Load a model that has to see, to know how many pixels it can use; None where that need not be known."""
        if "vision" not in bundle.config.capabilities or not question.images:
            return None
        return self.engine.load(question.model, keep_alive_s=question.keep_alive_s, options=options).result()

    def _interpreter(self, bundle: ModelBundle, info: RunnerInfo | None, options: LoadOptions) -> Interpreter | None:
        if info is None:
            return None
        finding = finding_about(bundle, self.plugins.backends, self.library.findings, backend=options.backend)
        return interpreter(info, finding)


_VERBS = {"completion": "generate", "insert": "insert"}


def _message(asker: Asker, turn: Turn) -> Message:
    parts = (ImagePart(asker.image(part.data)) if isinstance(part, EncodedImage) else part for part in turn.parts)
    return Message(turn.role, tuple(parts))
