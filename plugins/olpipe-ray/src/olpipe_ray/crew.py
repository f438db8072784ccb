"""The workers of a run: who has which photo, and what happens when a worker dies."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import count
from types import TracebackType
from typing import Any, Self

from olpipe import __version__
from olpipe.errors import MachineError, first_line
from olpipe.image import ImageFile
from olpipe.interfaces import Job
from olpipe.record import Failure, Outcome
from olpipe_ray.cluster import Cluster, Node
from olpipe_ray.hand import Hand
from olpipe_ray.piece import TRIES, Piece
from olpipe_ray.worker import Answer, Broken, Opened, Unseen

logger = logging.getLogger(__name__)

TICK_S = 2.0
"""How often the crew looks for machines that have joined, and for those that are gone."""

MOST_STRIKES = 3
"""A machine on which so many photos went wrong, one after the other, gets no more of them."""

PATIENCE_S = 30.0
"""How long there may be no worker until the user is told what the batch waits for."""


class Crew:
    """The workers of one run. Leaving it as a context closes them."""

    def __init__(self, cluster: Cluster, job: Job) -> None:
        """Make a crew without workers.

        Args:
            cluster: Where workers are started.
            job: What each of them opens.
        """
        from ray import cloudpickle

        self._cluster = cluster
        self._job: bytes = cloudpickle.dumps(job)
        self._images: Iterator[ImageFile] = iter(())
        self._hands: list[Hand] = []
        self._left: list[Hand] = []  # they finish what they have, but nobody waits for it
        self._waiting: deque[Piece] = deque()
        self._suspects: deque[Piece] = deque()  # each was at work when something broke: they are tried again alone
        self._unproven: list[Failure] = []  # failures that may be the machine's, because nothing has worked so far
        self._broken: Exception | None = None  # what ended the search for photos
        self._done = 0
        self._nodes: dict[str, Node] = {}
        self._left_out: dict[str, Exception] = {}  # machines that get no photos, and why
        self._strikes: dict[str, set[str]] = {}  # what went wrong on a machine since it had its last outcome
        self._starts = count(1)
        self._looked_s = 0.0
        self._idle_since_s: float | None = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        hands = [*self._hands, *self._left]
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            Hand.close_all(hands)
        for hand in hands:
            hand.kill()

    def outcomes(self, images: Iterable[ImageFile]) -> Iterator[Outcome]:
        """Yield one outcome for every image. Images are taken when a worker has room for them."""
        self._images = iter(images)
        while self._waiting or self._suspects or any(hand.at_work for hand in self._hands) or self._take():
            self._tend()
            self._hand_out()
            for ref in self._landed():
                yield from self._settle(ref)
        if self._broken is not None:
            raise self._broken
        if self._unproven:
            first = self._unproven[0]
            hint = "nothing else has worked either; run the same command again to go on"
            raise MachineError(f"`{first.file}`: {first.message}", hint=hint)

    # --- photos to workers ---------------------------------------------------------------------

    def _take(self) -> bool:
        """Take an image from whoever looks for them. Return whether there was one."""
        try:
            image = next(self._images, None)
        except Exception as error:  # noqa: BLE001 - whoever looks for photos failed: first finish those that were found
            self._images, self._broken = iter(()), error
            return False
        if image is None:
            return False
        self._waiting.append(Piece(image))
        return True

    def _hand_out(self) -> None:
        """Give photos to workers that have room, one each in turn."""
        given = True
        while given:
            given = False
            for hand in sorted(self._hands, key=lambda hand: len(hand.at_work)):
                piece = self._next_for(hand)
                if piece is not None:
                    hand.give(piece)
                    given = True

    def _next_for(self, hand: Hand) -> Piece | None:
        """Return what a worker should do next; None where it has enough."""
        if not hand.room or any(piece.tries for piece in hand.at_work.values()):
            return None
        for piece in self._suspects:
            if self._suits(hand, piece):
                if hand.at_work:  # it has to be alone
                    return None
                self._suspects.remove(piece)
                return piece
        if len(hand.at_work) >= hand.room or not (self._waiting or self._take()):
            return None
        return self._waiting.popleft()

    def _suits(self, hand: Hand, piece: Piece) -> bool:
        """Say whether a worker may try a photo again: one on another machine, where there is one."""
        others = {other.node.id for other in self._hands if other.room} - piece.nodes
        return not others or hand.node.id in others

    # --- what comes back -----------------------------------------------------------------------

    def _landed(self) -> list[Any]:
        """Wait a moment for answers, and return those that are there."""
        import ray

        refs = [ref for hand in self._hands for ref in hand.refs()]
        if not refs:
            time.sleep(TICK_S)
            return []
        ready: list[Any] = ray.wait(refs, num_returns=1, timeout=TICK_S)[0]
        return ready

    def _settle(self, ref: Any) -> Iterator[Outcome]:
        """Take an answer, and yield the outcomes that follow from it."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        hand = next(hand for hand in self._hands if ref in hand.refs())
        try:
            answer: Answer = ray.get(ref)
        except RayTaskError:
            raise  # a fault of ours
        except RayError as error:
            yield from self._lost(hand, first_line(error))
            return
        for line in answer.warnings:
            logger.warning("%s: %s", hand.node.host, line)
        piece = hand.at_work.pop(ref, None)
        if piece is None:
            self._begin(hand, answer)
        else:
            yield from self._outcome(hand, piece, answer)

    def _begin(self, hand: Hand, answer: Answer) -> None:
        """Let a worker begin that has opened the job, or do without its machine."""
        hand.opening = None
        if isinstance(answer.value, Opened):
            hand.room = answer.value.room
            self._idle_since_s = None
        else:
            assert isinstance(answer.value, Broken)
            self._leave_out(hand.node, answer.value.error)

    def _outcome(self, hand: Hand, piece: Piece, answer: Answer) -> Iterator[Outcome]:
        value = answer.value
        if isinstance(value, Unseen):
            here = piece.look_here()
            if here is not None:
                yield here
                return
            error: Exception = piece.unseen(hand.node.host, value.why)
        elif isinstance(value, Broken):
            error = value.error
        else:
            assert not isinstance(value, Opened)
            self._done += 1
            self._strikes.pop(hand.node.id, None)
            yield value
            yield from self._proven()
            return
        if not isinstance(error, MachineError):
            raise error
        piece.went_wrong(hand.node.id)
        if piece.tries >= TRIES:
            raise error
        self._suspects.append(piece)
        self._strike(hand.node, piece.name, error)

    def _lost(self, hand: Hand, why: str) -> Iterator[Outcome]:
        """Do without a worker that died, and have others try again what it had."""
        self._hands.remove(hand)
        hand.kill()
        pieces = list(hand.at_work.values())
        self._look()
        if hand.node.id not in self._nodes:  # the machine went: that was not the photos' fault
            logger.warning("the machine %s is gone; others go on with its photos", hand.node.host)
            self._put_back(pieces)
            return
        logger.warning("a worker on %s died, and its photos are tried again: %s", hand.node.host, why)
        for piece in pieces:
            piece.went_wrong(hand.node.id)
            if piece.tries >= TRIES:
                self._unproven.append(piece.killed())
            else:
                self._suspects.append(piece)
        what = pieces[0].name if pieces else f"start {next(self._starts)}"
        self._strike(hand.node, what, MachineError(f"workers died there: {why}"))
        yield from self._proven()

    def _proven(self) -> Iterator[Outcome]:
        """Yield the failures of photos that workers died of, once it is clear that workers can do their work."""
        if self._done:
            failures, self._unproven = self._unproven, []
            yield from failures

    # --- machines ------------------------------------------------------------------------------

    def _strike(self, node: Node, what: str, error: Exception) -> None:
        """Remember that something went wrong on a machine. One where nothing else happens is left out."""
        strikes = self._strikes.setdefault(node.id, set())
        strikes.add(what)
        if len(strikes) >= MOST_STRIKES:
            self._leave_out(node, error)

    def _leave_out(self, node: Node, error: Exception) -> None:
        """Give no more photos to a machine. What it has goes to others."""
        if node.id in self._left_out:
            return
        self._left_out[node.id] = error
        if self._places():
            logger.warning("the machine %s is left out: %s", node.host, first_line(error))
        for hand in [hand for hand in self._hands if hand.node.id == node.id]:
            self._hands.remove(hand)
            self._left.append(hand)
            self._put_back(hand.at_work.values())
            hand.leave()

    def _put_back(self, pieces: Iterable[Piece]) -> None:
        """Let others do what a worker cannot finish, for no fault of the photos."""
        pieces = list(pieces)
        self._suspects.extendleft(piece for piece in pieces if piece.tries)
        self._waiting.extendleft(piece for piece in reversed(pieces) if not piece.tries)

    def _look(self) -> None:
        self._nodes = self._cluster.nodes()
        self._looked_s = time.monotonic()

    def _places(self) -> list[str]:
        """Return the machines of all workers that there should be."""
        return self._cluster.places({id: node for id, node in self._nodes.items() if id not in self._left_out})

    def _tend(self) -> None:
        """Start the workers that are missing, as far as there are photos for them.

        Raises:
            MachineError: No machine is left. So does the error of the last one, where it is another.
        """
        if time.monotonic() - self._looked_s > TICK_S:
            self._look()
        places = self._places()
        missing = Counter(places) - Counter(hand.node.id for hand in self._hands)
        for id in places:
            if not missing[id]:
                continue
            missing[id] -= 1
            opening = sum(hand.opening is not None for hand in self._hands)
            if len(self._waiting) + len(self._suspects) <= opening and not self._take():
                break
            gpus = self._cluster.gpus_each(self._nodes.values())
            self._hands.append(Hand.start(self._cluster, self._nodes[id], gpus, self._job, __version__))
        if not self._hands:
            raise self._nobody()
        self._explain()

    def _nobody(self) -> Exception:
        """Return the error for a cluster in which no machine can work."""
        if not self._left_out:
            hint = "olpipe uses machines with at least one CPU, and where the others have GPUs, with a GPU"
            return MachineError("the Ray cluster has no machine for a worker", hint=hint)
        id, error = list(self._left_out.items())[-1]
        host = self._nodes[id].host if id in self._nodes else "a machine of the cluster"
        if isinstance(error, MachineError):
            return MachineError(f"no machine can work; {host}: {error.message}", hint=error.hint)
        return error

    def _explain(self) -> None:
        """Tell the user, once, when there has been no worker for long."""
        if self._idle_since_s is not None and time.monotonic() - self._idle_since_s > PATIENCE_S:
            logger.warning("no worker is ready yet: they load the model, or other work has the cluster's CPUs or GPUs")
            self._idle_since_s = None
