"""A good executor, and executors with one fault each."""

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from mutants.breaking import Mutants

from olpipe.errors import OlpipeError
from olpipe.interfaces import Executor
from olpipe.record import Failure, FailureKind
from olpipe.testing.contracts import ExecutorContract

CONTRACT = ExecutorContract


class OneByOne(Executor):
    """Works on one photo after the other."""

    name = "one-by-one"

    def map(self, job, images):
        images = iter(images)
        first = next(images, None)
        if first is None:
            return
        with job.open() as session:
            yield from self.outcomes(session, chain((first,), images))

    def outcomes(self, session, images):
        for image in images:
            yield session.work(image)


PLUGINS = Mutants(OneByOne)


@PLUGINS.broken("test_it_has_a_name")
class Nameless(OneByOne):
    """Nobody can ask for it."""

    name = ""


@PLUGINS.broken("test_every_photo_has_one_outcome")
class LosesTheLast(OneByOne):
    """The last photo has no outcome."""

    def outcomes(self, session, images):
        *first, _ = super().outcomes(session, images)
        yield from first


@PLUGINS.broken("test_every_photo_has_one_outcome")
class DoublesTheFirst(OneByOne):
    """The first photo is worked twice."""

    def outcomes(self, session, images):
        first = next(images)
        yield from super().outcomes(session, chain((first, first), images))


@PLUGINS.broken("test_failures_pass_through")
class DropsFailures(OneByOne):
    """Photos that failed are gaps."""

    def outcomes(self, session, images):
        yield from (one for one in super().outcomes(session, images) if not isinstance(one, Failure))


@PLUGINS.broken("test_a_single_photo_is_worked")
class WorksInPairs(OneByOne):
    """A photo without a second one is left out."""

    def outcomes(self, session, images):
        for first, second in zip(images, images, strict=False):
            yield session.work(first)
            yield session.work(second)


@PLUGINS.broken("test_no_photos_are_no_outcomes")
class OpensForNothing(OneByOne):
    """An empty folder loads a model."""

    def map(self, job, images):
        with job.open() as session:
            yield from self.outcomes(session, iter(images))


@PLUGINS.broken("test_the_job_is_opened_when_there_is_a_photo")
class OpensTooEarly(OneByOne):
    """The model is loaded while photos are still looked for."""

    def map(self, job, images):
        with job.open() as session:
            yield from self.outcomes(session, iter(images))


@PLUGINS.broken("test_it_closes_what_it_opens")
class LeavesItOpen(OneByOne):
    """The model stays loaded when the caller has had enough."""

    def map(self, job, images):
        self.opened = job.open()
        session = None
        for image in images:
            session = session or self.opened.__enter__()
            yield session.work(image)
        if session is not None:
            self.opened.__exit__(None, None, None)


@PLUGINS.broken("test_it_does_not_read_all_photos_ahead")
class ReadsEverything(OneByOne):
    """All photos are read before the first is worked."""

    def outcomes(self, session, images):
        yield from super().outcomes(session, iter(list(images)))


@PLUGINS.broken("test_it_reads_photos_in_the_callers_thread")
class ReadsElsewhere(OneByOne):
    """Photos are looked for in a thread of its own."""

    def outcomes(self, session, images):
        with ThreadPoolExecutor(1) as pool:
            while (image := pool.submit(next, images, None).result()) is not None:
                yield session.work(image)


@PLUGINS.broken("test_a_failing_machine_stops_the_run")
class SwallowsTheMachine(OneByOne):
    """A machine that failed is taken for a photo that failed."""

    def outcomes(self, session, images):
        for image in images:
            try:
                yield session.work(image)
            except OlpipeError as error:
                yield Failure(image.ref.name, image.sha256, FailureKind.GENERATION, error.message)


@PLUGINS.broken("test_a_failing_machine_stops_the_run")
class RewordsTheMachine(OneByOne):
    """Nobody knows any more that it was the machine."""

    def outcomes(self, session, images):
        for image in images:
            try:
                yield session.work(image)
            except OlpipeError as error:
                raise RuntimeError("it did not work") from error


@PLUGINS.broken("test_an_error_of_whoever_looks_for_photos_comes_out")
class EndsQuietly(OneByOne):
    """A disk that is gone looks like the end of the photos."""

    def outcomes(self, session, images):
        try:
            yield from super().outcomes(session, images)
        except OSError:
            return


class TestExecutor(ExecutorContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def executor(self, plugin):
        return plugin.make()
