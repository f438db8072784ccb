"""Describe one photo for a client, as `olpipe batch` does it: one record, or the failure that a batch would list."""

from __future__ import annotations

import hashlib
from pathlib import Path

from olpipe.asking.context import wanted_context
from olpipe.asking.image_tokens import check_image_tokens
from olpipe.asking.interpreting import finding_about
from olpipe.describing.describer import Describer, Prepared, Terms
from olpipe.describing.failures import at_stage, failure_of
from olpipe.describing.recipe import Recipe
from olpipe.describing.recipe_file import named_recipe
from olpipe.describing.stage import Answer
from olpipe.errors import OlpipeError, cannot_see
from olpipe.image import ImageFile, ImageRef
from olpipe.record import Failure, Record
from olpipe.server.bridge import completion, in_thread
from olpipe.server.edge.watching import WatchedDelivery
from olpipe.server.limits import check_text
from olpipe.server.question import PhotoQuestion
from olpipe.server.refusal import Refusal, status_of
from olpipe.server.service import Service


class NotDescribed(Refusal):
    """A photo that has no record.

    Attributes:
        failure: Why, as a batch lists it.
    """

    def __init__(self, status: int, failure: Failure) -> None:
        super().__init__(status, failure.message, hint=failure.hint)
        self.failure = failure


async def describe(service: Service, question: PhotoQuestion, *, client: str = "") -> Record:
    """Return the record of a photo. Cancelling this cancels the request to the model.

    Raises:
        NotDescribed: The photo or a plugin is at fault.
        OlpipeError: Nothing was done about the photo: the request is wrong, or the model cannot be used.
    """
    # 1. Read the recipe, and refuse what the model cannot do, before anything is fetched or loaded
    recipe = await in_thread(_checked, service, question)
    # 2. Have the photo and the model ready
    image = await in_thread(_photo, question.file, await _bytes(service, question))
    describer = await in_thread(_describer, service, recipe, question, client)
    # 3. Make the record
    try:
        seen = await in_thread(describer.see, image)
        prepared: Prepared | None = None
        answers: list[Answer] = []
        for asked in describer.questions:
            with at_stage(asked.stage):
                prepared = await in_thread(describer.ground, seen, asked, answers, prepared)
                delivery = WatchedDelivery(service.metrics, recipe.model)
                said = await completion(describer.ask(prepared, delivery), delivery)
                answers.append(await in_thread(describer.answer, prepared, said))
        assert prepared is not None  # a recipe asks at least one question
        return await in_thread(describer.record, prepared, answers)
    except Exception as error:
        failure = failure_of(image, error)
        if failure is None:
            raise
        raise NotDescribed(_status(error), failure) from error


def _checked(service: Service, question: PhotoQuestion) -> Recipe:
    """Return the recipe with the changes that the client wishes for.

    Raises:
        RecipeError: There is no such recipe.
        ModelNotFound: The model is not on this machine.
        UsageError: The model does not see, or something else cannot be done.
    """
    recipe = named_recipe(question.recipe, service.settings.recipes).override(**question.changes)
    recipe = recipe.sampled(question.sampling)
    check_text(service.settings, len(recipe.prompt))
    service.plugins.tasks.get(recipe.task)
    bundle = service.bundle(recipe.model)
    check_image_tokens(bundle, recipe.image_tokens, hint="leave out `image_tokens`")
    perceivers = bundle.config.perceivers if recipe.perceivers is None else recipe.perceivers
    for name in perceivers:
        service.plugins.perceivers.get(name)
    if not perceivers and "vision" not in bundle.config.capabilities:
        raise cannot_see(recipe.model)
    return recipe


def _describer(service: Service, recipe: Recipe, question: PhotoQuestion, client: str) -> Describer:
    """Load the model, and wait for that."""
    backends, findings = service.plugins.backends, service.library.findings
    bundle, asked = service.bundle(recipe.model), question.options.context_length
    finding = finding_about(bundle, backends, findings, backend=recipe.backend)
    usual = service.settings.keep_alive_s
    terms = Terms(
        client=client,
        keep_alive_s=usual if question.keep_alive_s is None else question.keep_alive_s,
        load=service.load_options(question.options, bundle),
        context_length=wanted_context(asked, bundle) if asked else 0,
        refuse_pixels=service.settings.max_pixels,
    )
    return Describer(recipe, service.plugins, service.engine, service.evidence, finding=finding, terms=terms)


async def _bytes(service: Service, question: PhotoQuestion) -> bytes:
    url = question.image.url
    return await service.image_urls.fetch(url) if url else question.image.data


def _photo(file: str, data: bytes) -> ImageFile:
    """Return a photo that came over the network. Its name is only a name: no file is opened."""
    return ImageFile(ImageRef(Path(file), file, len(data), 0), hashlib.sha256(data).hexdigest(), data)


def _status(error: Exception) -> int:
    return status_of(error) if isinstance(error, OlpipeError) else 500
