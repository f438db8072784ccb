"""What all routes share: the models, the engine, and the way from a question to an answer."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from olpipe.asking.asker import Asker, without_opening
from olpipe.asking.context import load_options
from olpipe.asking.image_tokens import check_image_tokens
from olpipe.asking.interpreting import finding_about, interpreter
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.engine.stream import Delivery, Reply, Stream
from olpipe.errors import ModelNotFound, UsageError, cannot_see
from olpipe.generation import Completion, GenerateRequest
from olpipe.image import USUAL_PIXELS
from olpipe.messages import ImagePart, Message
from olpipe.model import LoadOptions, ModelBundle, RunnerInfo
from olpipe.server.image_urls import ImageUrls
from olpipe.server.limits import check_question, check_texts
from olpipe.server.metrics import Metrics
from olpipe.server.model_names import named
from olpipe.server.question import EncodedImage, Question, Turn, VectorQuestion
from olpipe.server.refusal import Refusal
from olpipe.tokens import CountRequest, TokenRequest, Tokens

if TYPE_CHECKING:
    from olpipe.engine.manager import Engine
    from olpipe.guidance.interpreter import Interpreter
    from olpipe.perception.evidence_cache import EvidenceCache
    from olpipe.plugins import Plugins
    from olpipe.settings import Settings
    from olpipe.store.library import Library

STAYS_FOR_QUESTION_S = 60.0
"""How long a model that was loaded for a question stays at least, until the question's photos are decoded."""


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
        self.evidence = evidence
        self.metrics = Metrics(engine)
        self.image_urls = ImageUrls(settings.image_urls, most_bytes=settings.max_body)

    def close(self) -> None:
        """Unload all models, and end what is being answered."""
        self.engine.close()
        if self.evidence is not None:
            self.evidence.close()

    def bundle(self, model: str) -> ModelBundle:
        """Return a model that is on this machine.

        Raises:
            Refusal: The text is not a name.
            ModelNotFound: It is not on this machine. Nothing is pulled for a request.
        """
        if not model:
            raise ModelNotFound("model '' not found", hint="name the model that answers in `model`")
        name = named(model, Refusal(400, "invalid model name"))
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
        question, asker, options = self._asker(question)
        request = _request(asker, question)
        spoken = asker.spoken(request)
        stream = self.engine.submit(
            spoken, client=client, keep_alive_s=question.keep_alive_s, options=options, delivery=delivery
        )
        return Asked(question, request, stream, asker, spoken is request)

    def count_tokens(self, question: Question) -> int:
        """Count the tokens of a question's prompt, with its images, before anything is cut. Nothing is answered.

        Raises:
            OlpipeError: The question cannot be answered by this model.
        """
        question, asker, options = self._asker(question)
        asked = CountRequest(asker.spoken(_request(asker, question)))
        return self.engine.tokens(asked, keep_alive_s=question.keep_alive_s, options=options).result().count

    def tokens(self, request: TokenRequest, *, keep_alive_s: float | None, options: LoadOptions) -> Tokens:
        """Have a text cut into tokens, or tokens joined to a text, and wait for that."""
        options = self.load_options(options, self.bundle(request.model))
        return self.engine.tokens(request, keep_alive_s=keep_alive_s, options=options).result()

    def _asker(self, question: Question) -> tuple[Question, Asker, LoadOptions]:
        """Return a question with what is usual for its model, what makes its request, and how its model is loaded."""
        check_question(self.settings, question)
        bundle = self.bundle(question.model)
        self.check(bundle, question)
        question = self._with_usual_thinking(bundle, question)
        options = self.load_options(question.options, bundle)
        info = self._info(bundle, question, options)
        asker = Asker(
            bundle if question.opens else without_opening(bundle),
            question.wishes,
            self.plugins,
            model_pixels=(info.fit_pixels if info else 0) or USUAL_PIXELS,
            evidence=self.evidence,
            interpreter=self._interpreter(bundle, info, options),
            refuse_pixels=self.settings.max_pixels,
        )
        return question, asker, options

    def embed(self, question: VectorQuestion, *, client: str = "") -> Reply[Embeddings]:
        """Send texts to a model that makes vectors of them."""
        check_texts(self.settings, question)
        options = self.load_options(question.options, self.bundle(question.model))
        request = EmbedRequest(question.model, question.texts, question.dimensions, question.truncate)
        return self.engine.embed(request, client=client, keep_alive_s=question.keep_alive_s, options=options)

    def load(self, model: str, *, keep_alive_s: float | None, options: LoadOptions) -> RunnerInfo:
        """Have a model loaded, and wait for that."""
        options = self.load_options(options, self.bundle(model))
        return self.engine.load(model, keep_alive_s=keep_alive_s, options=options).result()

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

    def load_options(self, options: LoadOptions, bundle: ModelBundle) -> LoadOptions:
        """Return how a model is loaded. A context that is not larger than usual is a limit of the request only.

        It gets no more threads than there are processors: with thousands of them, it would be loaded for minutes.
        """
        options = replace(options, threads=min(options.threads, os.cpu_count() or 1))
        return load_options(options, bundle, usual=self.settings.context_length)

    def _with_usual_thinking(self, bundle: ModelBundle, question: Question) -> Question:
        """Have a model that can think do so, where the client does not say whether it should. Ollama does the same."""
        if question.wishes.think is not None or question.wishes.raw or "thinking" not in bundle.config.capabilities:
            return question
        return replace(question, wishes=replace(question.wishes, think="on"))

    def _info(self, bundle: ModelBundle, question: Question, options: LoadOptions) -> RunnerInfo | None:
        """Load a model that has to see, to know how many pixels it can use; None where that need not be known."""
        if "vision" not in bundle.config.capabilities or not question.images:
            return None
        keep_s = question.keep_alive_s
        if keep_s is not None and keep_s >= 0:  # it must not leave before the question reaches it
            keep_s = max(keep_s, STAYS_FOR_QUESTION_S)
        return self.engine.load(question.model, keep_alive_s=keep_s, options=options).result()

    def _interpreter(self, bundle: ModelBundle, info: RunnerInfo | None, options: LoadOptions) -> Interpreter | None:
        if info is None:
            return None
        finding = finding_about(bundle, self.plugins.backends, self.library.findings, backend=options.backend)
        return interpreter(info, finding)


_VERBS = {"completion": "generate", "insert": "insert"}


def _request(asker: Asker, question: Question) -> GenerateRequest:
    return asker.request(question.model, [_message(asker, turn) for turn in question.turns])


def _image(asker: Asker, image: EncodedImage) -> ImagePart:
    return ImagePart(asker.image(image.data, suffix=image.suffix))


def _message(asker: Asker, turn: Turn) -> Message:
    parts = (_image(asker, part) if isinstance(part, EncodedImage) else part for part in turn.parts)
    return Message(turn.role, tuple(parts))
