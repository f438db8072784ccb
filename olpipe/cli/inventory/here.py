"""The models on this machine. No server has any of them in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olpipe.model import ModelName

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.cli.inventory.models import Body, Tell
    from olpipe.cli.inventory.plan import Plan


class Here:
    """The models of this machine's library."""

    def __init__(self, app: App) -> None:
        """Read nothing yet."""
        self._app = app

    def listed(self) -> list[Body]:
        """Return what there is to say of all models."""
        from olpipe.store.summary import summary

        return list(map(summary, self._app.library.stored()))

    def shown(self, name: str, *, verbose: bool = False) -> Body:
        """Return all that there is to say of a model."""
        from olpipe.store.summary import shown

        return shown(ModelName.parse(name), self._app.library, verbose=verbose, plugins=self._app.plugins)

    def loaded(self) -> list[Body]:
        """Return nothing: a command keeps a model in memory only while it runs."""
        return []

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""
        self._app.library.copy(ModelName.parse(source), ModelName.parse(destination))

    def remove(self, name: str) -> None:
        """Remove a model."""
        self._app.library.remove(ModelName.parse(name))

    def unload(self, name: str) -> None:
        """Only find out whether there is such a model."""
        self._app.library.digest(ModelName.parse(name))

    def pull(self, plan: Plan, tell: Tell) -> None:
        """Bring a model here."""
        from olpipe.server.wire.progress import progress_body
        from olpipe.server.wire.pull_steps import BEGUN, BUILDING, SUCCESS, WRITING, in_ollamas_words
        from olpipe.store.pull import pull
        from olpipe.store.sources import default_name

        if plan.origin is None:
            assert plan.missing is not None
            raise plan.missing
        target = plan.target or default_name(plan.origin, self._app.plugins)
        tell(progress_body(BEGUN))
        steps = in_ollamas_words(lambda step: tell(progress_body(step)))
        pull(
            plan.origin, target, self._app.library, self._app.plugins,
            progress=steps, building=lambda: tell(progress_body(BUILDING)),
        )  # fmt: skip
        tell(progress_body(WRITING))
        tell(progress_body(SUCCESS))

    def push(self, name: str, tell: Tell, *, insecure: bool) -> str:
        """Send a model to where its name says."""
        from olpipe.server.wire.progress import progress_body
        from olpipe.server.wire.pull_steps import SUCCESS
        from olpipe.store.push import find_target, push

        found = self._app.library.describe(ModelName.parse(name)).name
        target = find_target(found, self._app.plugins, insecure=insecure)
        push(target, found, self._app.library, self._app.plugins, progress=lambda step: tell(progress_body(step)))
        tell(progress_body(SUCCESS))
        return str(found)
