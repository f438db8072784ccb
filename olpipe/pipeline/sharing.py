"""Decide which photos share a record during a run: those with the same picture, and with `--near` nearly the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeGuard

from olpipe.image import ImageFile
from olpipe.pipeline.copies import Copies, First
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.pipeline.near import Look, Match, Near
from olpipe.record import COPIED_FROM, CopiedRecord, Copy, Failure, Outcome, Record


@dataclass(frozen=True, slots=True)
class Settled:
    """A photo about which everything is known.

    Attributes:
        file: The photo.
        outcome: What to commit for it. None means that it has to be described after all.
        copied: Whether it is a copy.
    """

    file: ImageFile
    outcome: Record | CopiedRecord | Failure | None
    copied: bool = False


@dataclass(frozen=True, slots=True)
class _Follower:
    file: ImageFile
    look: Look
    match: Match


class Sharing:
    """The photos of a run that wait for the outcome of another one. It is used where the ledger is, in one thread.

    What it yields has to be committed before the next one is taken. Every photo that waits is settled when the one that
    it waits for is, so none waits longer than the executor works.
    """

    def __init__(self, ledger: Ledger, near: Near | None = None) -> None:
        """Use a ledger, after the survey.

        Args:
            ledger: The ledger.
            near: Finds photos that look nearly the same; None where they get records of their own.
        """
        self._ledger = ledger
        self.copies = Copies(ledger)
        self._near = near
        self._turns: dict[str, int] = {}  # in which order photos at work, and those that wait, were handed out
        self._turn = 0
        self._pictures: dict[bytes, list[tuple[Copy, ImageFile]]] = {}  # photos that wait, by their picture
        self._followers: dict[str, list[_Follower]] = {}  # those that wait, by the first one's identity

    @property
    def waiting(self) -> int:
        """How many photos wait for another one."""
        return sum(map(len, self._pictures.values())) + sum(map(len, self._followers.values()))

    def follow(self, file: ImageFile, look: Look | None) -> Iterator[Settled] | None:
        """Have a photo wait for one that looks nearly the same, if there is one. None says that it is to be described.

        Args:
            file: The photo.
            look: How it looks; None where that is not compared.
        """
        match = self._near.match(look) if self._near is not None and look is not None else None
        if match is not None and look is not None:
            follower = _Follower(replace(file, data=None), look, match)
            self._followers.setdefault(match.identity, []).append(follower)
            return self._following(match.identity)
        if self._near is not None and look is not None:
            self._near.lead(self._identity(file), look)
        self._turn += 1
        self._turns[file.ref.name] = self._turn
        return None

    def settle(self, outcome: Outcome, file: ImageFile) -> Iterator[Settled]:
        """Yield the photos that are settled by what the executor gave for one of them.

        Several processes may have described the same picture, because none knew of the others. Then the outcome that
        came first is that of all.
        """
        if not isinstance(outcome, Copy) and self._is_known(outcome, file):
            outcome = _copy_of(outcome)
        if isinstance(outcome, Copy):
            first = self.copies.of_picture(outcome.picture)
            if first is None:  # it is at work
                self._pictures.setdefault(outcome.picture, []).append((outcome, replace(file, data=None)))
            else:
                yield from self._copied(first, outcome, file)
            return
        others = self._pictures.pop(outcome.picture, []) if outcome.picture else []
        if others:
            outcome, file, others = self._by_turn(outcome, file, others)
        yield self._settled(file, outcome, copied=False)
        if outcome.picture:
            self.copies.note_picture(outcome.picture, file)
        yield from self._following(self._identity(file))
        for copy, other in others:
            first = self.copies.of_picture(copy.picture)
            assert first is not None
            yield from self._copied(first, copy, other)

    def _is_known(self, outcome: Record | Failure, file: ImageFile) -> TypeGuard[Record]:
        """Say whether a record is about a picture that another photo has a record of."""
        if isinstance(outcome, Failure) or not outcome.picture:
            return False
        first = self.copies.of_picture(outcome.picture)
        return first is not None and first.kind == RECORD and first.identity != self._identity(file)

    def _by_turn(
        self, outcome: Record | Failure, file: ImageFile, others: list[tuple[Copy, ImageFile]]
    ) -> tuple[Record | Failure, ImageFile, list[tuple[Copy, ImageFile]]]:
        """Give the outcome to the photo that was handed out first, whichever was described: they look the same."""
        at = min(range(len(others)), key=lambda at: self._turns[others[at][1].ref.name])
        copy, earlier = others[at]
        if isinstance(outcome, Failure) or self._turns[file.ref.name] < self._turns[earlier.ref.name]:
            return outcome, file, others
        mine = _copy_of(outcome)
        first = replace(outcome, file=copy.file, sha256=copy.sha256, image=copy.image)
        return first, earlier, [*others[:at], *others[at + 1 :], (mine, file)]

    def _copied(self, first: First, copy: Copy, file: ImageFile) -> Iterator[Settled]:
        """Yield a photo with the outcome of its picture, and those that wait for it."""
        made = self.copies.copy(first, file, copy.image)
        yield self._settled(file, made, copied=True)
        if isinstance(made, CopiedRecord) and COPIED_FROM not in made.row:
            self.copies.note_picture(copy.picture, file)  # the first one's file has changed: this one takes its place
        yield from self._following(self._identity(file))

    def _following(self, identity: str) -> Iterator[Settled]:
        """Yield the photos that wait for one that looks nearly the same, if that one is settled."""
        first = self.copies.first(identity) if identity in self._followers else None
        if first is None:
            return
        for follower in self._followers.pop(identity):
            if first.kind == RECORD:
                made = self.copies.copy(first, follower.file, follower.look.image, distance=follower.match.distance)
                yield self._settled(follower.file, made, copied=True)
            elif self._near is not None:
                self._near.forget(identity)
                yield self._settled(follower.file, None, copied=False)

    def _settled(self, file: ImageFile, outcome: Record | CopiedRecord | Failure | None, *, copied: bool) -> Settled:
        self._turns.pop(file.ref.name, None)
        return Settled(file, outcome, copied)

    def _identity(self, file: ImageFile) -> str:
        return self._ledger.identity(file.sha256, file.ref.path) or ""


def _copy_of(record: Record) -> Copy:
    """Return what a photo gets whose record is not used, because another photo with the same picture has one."""
    return Copy(record.file, record.sha256, record.image, record.picture)
