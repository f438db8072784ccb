"""What the commands about models need of whoever has the models.

All values are the bodies of Ollama's API: of `/api/tags`, `/api/show`, `/api/ps`, and the lines of `/api/pull`. A
server that is not olpipe leaves out the fields that are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from olpipe.errors import ModelNotFound, UsageError

if TYPE_CHECKING:
    from olpipe.cli.inventory.plan import Plan

Body = Mapping[str, Any]
Tell = Callable[[Body], None]
"""Called with each line that says how far a pull or a push is. The last one has the status `success`."""


class Models(Protocol):
    """The models of this machine or of a server. Names of models are as the user writes them."""

    def listed(self) -> list[Body]:
        """Return what there is to say of all models, the newest first."""

    def shown(self, name: str, *, verbose: bool = False) -> Body:
        """Return all that there is to say of a model.

        Args:
            name: The model.
            verbose: Whether long lists are given, too.

        Raises:
            ModelNotFound: There is none of that name.
            InvalidName: The text is not a name.
        """

    def loaded(self) -> list[Body]:
        """Return what there is to say of the models in memory."""

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name.

        Raises:
            ModelNotFound: There is no model called `source`.
            InvalidName: One of the texts is not a name.
        """

    def remove(self, name: str) -> None:
        """Remove a model. If it is in memory, it is unloaded first.

        Raises:
            ModelNotFound: There is none of that name.
            InvalidName: The text is not a name.
        """

    def unload(self, name: str) -> None:
        """Take a model out of memory, once it has answered what it was asked. If it is not there, nothing happens.

        Raises:
            ModelNotFound: There is none of that name.
            InvalidName: The text is not a name.
        """

    def pull(self, plan: Plan, tell: Tell) -> None:
        """Bring a model here.

        Raises:
            ModelNotFound: No source has it.
            OlpipeError: It could not be brought here.
        """

    def push(self, name: str, tell: Tell, *, insecure: bool) -> str:
        """Send a model to where its name says.

        Args:
            name: The model.
            tell: Told about every step.
            insecure: Whether a connection that others can read is allowed.

        Returns:
            The whole name of the model, as it is stored.

        Raises:
            ModelNotFound: There is none of that name.
            OlpipeError: It could not be sent.
        """


def nothing_to_stop(name: str, missing: ModelNotFound) -> ModelNotFound:
    """Return the error for a model that is to be stopped, and that there is not. Its text is Ollama's."""
    return ModelNotFound(f'couldn\'t find model "{name}" to stop', hint=missing.hint)


def no_paths(source: str, reason: str) -> UsageError:
    """Return the error for a path that a server cannot read."""
    hint = "write `FROM PATH` into a Modelfile; `olpipe create MODEL -f Modelfile` sends the file to the server"
    return UsageError(f"`{source}` is a path on this machine, and {reason}", hint=hint)
