"""The contract of backends and their runners, whole."""

from __future__ import annotations

from olpipe.testing.contracts.answers import AnswerContract
from olpipe.testing.contracts.contexts import ContextContract
from olpipe.testing.contracts.conversations import ConversationContract
from olpipe.testing.contracts.guided import GuidanceContract
from olpipe.testing.contracts.loading import LoadingContract
from olpipe.testing.contracts.phases import PhasesContract
from olpipe.testing.contracts.side_by_side import SideBySideContract
from olpipe.testing.contracts.vectors import EmbeddingContract


class BackendContract(
    LoadingContract,
    AnswerContract,
    ConversationContract,
    ContextContract,
    GuidanceContract,
    PhasesContract,
    SideBySideContract,
    EmbeddingContract,
):
    """Every `Backend` and its `Runner`. Give it the fixtures `backend` and `bundle`, a model that it can load.

    If the runner's `info` says that it does not do something, the tests of that are skipped: guidance, photos, vectors,
    several slots. So are those of cut conversations and of tokens where the runner refuses them.

    Attributes:
        prompt: Something to say to the model. It needs an answer of some words.
        runtimes: Modules that are imported only when a model is built or loaded.
        draws: Whether answers at a temperature above 0 depend on chance. Only a backend without a model sets it False.
    """
