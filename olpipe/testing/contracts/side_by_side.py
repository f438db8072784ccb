"""The contract of backends, fifth part: several sequences at once, several threads, and answers that are stopped."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from olpipe.generation import Chunk, Completion, GenerateRequest, Guidance, SamplingParams
from olpipe.interfaces import Prepared, Runner
from olpipe.testing.contracts.asking import MOST_STEPS, PROMPTS, ModelFixtures, completion, finish, go_on, said

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 12, "maxLength": 40}},
    "required": ["text"],
    "additionalProperties": False,
}
MOST_AT_ONCE = 16
"""Where a runner has more slots than this, only this many are filled."""


class SideBySideContract(ModelFixtures):
    """What a runner has to do that the engine keeps busy."""

    def mixed(self, runner: Runner, count: int) -> list[GenerateRequest]:
        """Return different requests: free ones, sampled ones and, where the runner takes them, guided ones."""
        guidance = Guidance("json_schema", json.dumps(SCHEMA)) if runner.info.guidance else None
        kinds = (
            (None, SamplingParams()),
            (guidance, SamplingParams()),
            (None, SamplingParams(temperature=1.0, seed=3)),
        )
        texts = [f"{PROMPTS[number % len(PROMPTS)]} {number}" for number in range(count)]
        return [
            self.request(text, guidance=guided, sampling=sampling, max_tokens=(12, 60, 22)[number % 3])
            for number, text in enumerate(texts)
            for guided, sampling in [kinds[number % len(kinds)]]
        ]

    def test_all_slots_are_answered_at_once(self, writer: Runner) -> None:
        """Each answer is the one that the request gets alone."""
        count = min(writer.info.slots, MOST_AT_ONCE)
        requests = self.mixed(writer, count)
        alone = [said(completion(writer, request)) for request in requests]
        chunks = finish(writer, {10 + number: writer.prepare(request) for number, request in enumerate(requests)})
        assert [said(Completion.of(chunks[10 + number])) for number in range(count)] == alone

    def test_a_sequence_may_join_later(self, writer: Runner) -> None:
        """It does not change the answers of those that run already."""
        if writer.info.slots < 2:
            pytest.skip("this runner answers one sequence at a time")
        first, second = self.mixed(writer, 2)
        alone = [said(completion(writer, request)) for request in (first, second)]
        writer.start(1, writer.prepare(first))
        chunks = go_on(writer, {1: []}, steps=3)
        writer.start(2, writer.prepare(second))
        chunks = go_on(writer, {**chunks, 2: []})
        assert [said(Completion.of(chunks[number])) for number in (1, 2)] == alone

    def test_no_more_sequences_than_slots_are_taken(self, writer: Runner) -> None:
        """One more is a bug in the code that calls."""
        prepared = writer.prepare(self.request())
        started = 0
        for started in range(1, writer.info.slots + 1):
            writer.start(started, writer.prepare(self.request()))
        with pytest.raises(ValueError):
            writer.start(started + 1, prepared)

    def test_an_answer_that_ended_frees_its_slot(self, writer: Runner) -> None:
        """The slots can be filled again and again."""
        for _ in range(3):
            ids = range(1, writer.info.slots + 1)
            finish(writer, {one: writer.prepare(self.request(max_tokens=2)) for one in ids})
        assert not writer.step()

    def test_a_stopped_sequence_frees_its_slot(self, writer: Runner) -> None:
        """It may be stopped before its first step or in the middle. No chunk of it comes after that."""
        expected = said(completion(writer, self.request()))
        for steps in range(4):
            for sequence_id in range(1, writer.info.slots + 1):
                writer.start(sequence_id, writer.prepare(self.request()))
            for _ in range(steps):
                writer.step()
            for sequence_id in range(1, writer.info.slots + 1):
                writer.stop(sequence_id)
            assert not writer.step()
        assert said(completion(writer, self.request())) == expected

    def test_stopping_one_leaves_the_others_alone(self, writer: Runner) -> None:
        """Their answers stay the same."""
        if writer.info.slots < 2:
            pytest.skip("this runner answers one sequence at a time")
        requests = self.mixed(writer, 2)
        alone = [said(completion(writer, request)) for request in requests]
        for stopped, stays in ((1, 2), (2, 1)):
            for number, request in enumerate(requests, start=1):
                writer.start(number, writer.prepare(request))
            chunks = go_on(writer, {1: [], 2: []}, steps=2)
            writer.stop(stopped)
            assert said(Completion.of(go_on(writer, {stays: chunks[stays]})[stays])) == alone[stays - 1]

    def test_stopping_an_unknown_sequence_is_ignored(self, writer: Runner) -> None:
        """A cancel may come late, while another sequence runs."""
        expected = said(completion(writer, self.request()))
        writer.stop(99)
        writer.start(1, writer.prepare(self.request()))
        writer.stop(99)
        assert said(Completion.of(go_on(writer, {1: []})[1])) == expected

    def test_a_step_without_sequences_says_nothing(self, runner: Runner) -> None:
        """The engine may call `step` once too often."""
        assert not runner.step()

    def test_what_is_prepared_waits(self, writer: Runner) -> None:
        """Prepared requests do not depend on each other. They are started in any order, or never."""
        requests = self.mixed(writer, 3)
        alone = [said(completion(writer, request)) for request in requests]
        prepared = [writer.prepare(request) for request in requests]
        writer.prepare(self.request("never started"))
        found = [said(Completion.of(finish(writer, {1: one})[1])) for one in reversed(prepared)]
        assert found == alone[::-1]

    def test_requests_are_prepared_between_steps(self, writer: Runner) -> None:
        """What is prepared while an answer is written does not change that answer."""
        first, second = self.mixed(writer, 2)
        alone = [said(completion(writer, request)) for request in (first, second)]
        chunks: dict[int, list[Chunk]] = {1: []}
        writer.start(1, writer.prepare(first))
        with ThreadPoolExecutor(1) as other:
            for _ in range(MOST_STEPS):
                prepared = other.submit(writer.prepare, second).result()
                if chunks[1] and chunks[1][-1].finish_reason is not None:
                    break
                chunks = go_on(writer, chunks, steps=1)
        assert said(Completion.of(chunks[1])) == alone[0]
        assert said(Completion.of(finish(writer, {2: prepared})[2])) == alone[1]

    def test_requests_are_prepared_while_others_are_answered(self, writer: Runner) -> None:
        """Another thread prepares them while this one is inside `step`."""
        requests = self.mixed(writer, 3)
        alone = [said(completion(writer, request)) for request in requests]
        done, failed = threading.Event(), []
        prepared: list[Prepared] = []

        def prepare_on() -> None:
            try:
                while not done.is_set() or len(prepared) < len(requests):
                    prepared.append(writer.prepare(requests[len(prepared) % len(requests)]))
            except BaseException as error:  # noqa: BLE001 - it is shown by the test
                failed.append(error)

        other = threading.Thread(target=prepare_on)
        other.start()
        try:
            found = [said(completion(writer, request)) for request in requests]
        finally:
            done.set()
            other.join()
        assert failed == []
        assert found == alone
        assert [said(Completion.of(finish(writer, {1: one})[1])) for one in prepared[: len(requests)]] == alone
