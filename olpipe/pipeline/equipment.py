"""What a run needs to compare photos, and to decode those that it does not trust."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from olpipe.describing.recipe import Recipe
from olpipe.describing.templates import told
from olpipe.engine.manager import Engine
from olpipe.imaging.sandbox.pool import Sandbox
from olpipe.imaging.taken import day_taken
from olpipe.interfaces import ImageLoader
from olpipe.pipeline.job import DescribeJob, JobOptions
from olpipe.pipeline.ledger import Ledger
from olpipe.pipeline.near import Looker, Near
from olpipe.pipeline.pictures import Pictures
from olpipe.pipeline.sharing import Sharing
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.findings import Finding


@dataclass(frozen=True, slots=True)
class Equipment:
    """The equipment of one run.

    Attributes:
        recipe: What is asked.
        plugins: Everything that plugins bring.
        settings: How models are loaded.
        loaders: They decode photos, in a sandbox if there is one.
        pictures: The pictures that have a record, or are at work.
        sandbox: Where photos are decoded; None where that is this process.
        looker: Makes sketches of photos; None where only equal pictures share a record.
        near: In how many bits sketches may differ.
    """

    recipe: Recipe
    plugins: Plugins
    settings: Settings
    loaders: Iterable[ImageLoader]
    pictures: Pictures
    sandbox: Sandbox | None
    looker: Looker | None
    near: int

    def job(self, engine: Engine, finding: Finding | None, options: JobOptions) -> DescribeJob:
        """Return the work of the run.

        Args:
            engine: Runs the model.
            finding: What `olpipe doctor` found out about the model.
            options: More about how the work is done.
        """
        options = replace(options, pictures=self.pictures, sandbox=self.sandbox)
        return DescribeJob(self.recipe, self.settings, finding, plugins=self.plugins, engine=engine, options=options)

    def sharing(self, ledger: Ledger, *, nothing_left: bool) -> Sharing:
        """Return what decides which photos share a record, after the survey.

        Args:
            ledger: The ledger.
            nothing_left: Whether all photos are done. Then no picture is compared.
        """
        sharing = Sharing(ledger, None if self.looker is None else Near(ledger, self.near))
        if not nothing_left:
            self.pictures.add(sharing.copies.pictures())
        return sharing


@contextmanager
def equipped(recipe: Recipe, plugins: Plugins, settings: Settings, *, near: int, sandbox: bool) -> Iterator[Equipment]:
    """Yield the equipment of a run, and put it away afterwards.

    Args:
        recipe: What is asked.
        plugins: Where loaders come from.
        settings: For the processes of the sandbox.
        near: In how many bits sketches of photos may differ that share a record; below 0 makes no sketches.
        sandbox: Whether photos are decoded in processes of their own.
    """
    with ExitStack() as stack:
        box = stack.enter_context(Sandbox(settings)) if sandbox else None
        pictures = stack.enter_context(closing(Pictures()))
        loaders = plugins.image_loaders if box is None else box.loaders(plugins.image_loaders)
        day = day_taken if box is None else box.day_taken
        looker = Looker(loaders, partial(told, recipe.prompt, day=day)) if near >= 0 else None
        yield Equipment(recipe, plugins, settings, loaders, pictures, box, looker, near)
