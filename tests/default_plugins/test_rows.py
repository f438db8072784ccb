"""The rows of a batch: who gets which, what is shared, and that nothing moves but the place."""

from __future__ import annotations

import numpy as np
import pytest

from olpipe.default_plugins.ort_genai.cache import Cache
from olpipe.default_plugins.ort_genai.rows import SMALLEST, Rows
from olpipe.perception.session import open_session
from olpipe.testing.models import build_tiny_package

CONTEXT = 2048
SLOTS = 4


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    package = build_tiny_package(tmp_path_factory.mktemp("model") / "package", context_length=CONTEXT)
    return open_session(package / "model.onnx", threads=1)


@pytest.fixture
def rows(session):
    return Rows(lambda count, length: Cache(session, rows=count, length=length), slots=SLOTS, context_length=CONTEXT)


def tokens(seed, count):
    return tuple(int(token) for token in np.random.default_rng(seed).integers(3, 250, count))


def begin(rows, prompt, length=200):
    row = rows.take(prompt, length)
    row.append(prompt)
    return row


def decode(rows, texts, steps):
    """Run some tokens of every row, one at a time and all together; return each row's last logits."""
    for step in range(steps):
        rows.forward([(row, text[step]) for row, text in texts.items()])
        for row, text in texts.items():
            row.append((text[step],))
    return {row: row.logits() for row in texts}


def lone_logits(session, prompt, text):
    """Return the logits after a prompt and some tokens, computed in a cache of one row."""
    cache = Cache(session, rows=1, length=SMALLEST)
    cache.run(np.array([prompt], np.int64), [0])
    for step, token in enumerate(text):
        cache.run(np.array([[token]], np.int64), [len(prompt) + step])
    return cache.logits(0)


def test_ragged_rows_have_the_logits_of_lone_sequences(rows, session):
    prompts = [tokens(seed, 10 + 23 * seed) for seed in range(SLOTS)]
    texts = {begin(rows, prompt): tokens(9 + len(prompt), 6) for prompt in prompts}
    for (row, logits), prompt in zip(decode(rows, texts, 6).items(), prompts, strict=True):
        assert np.array_equal(logits, lone_logits(session, prompt, texts[row]))


def test_those_at_work_move_together_and_keep_what_they_hold(rows, session):
    prompts = [tokens(seed, 20 + seed) for seed in range(SLOTS)]
    taken = [begin(rows, prompt) for prompt in prompts]
    texts = {row: tokens(7 + row.position, 6) for row in taken}
    decode(rows, texts, 3)
    for number in (0, 2):
        rows.release(taken[number])
    left = {row: texts[row][3:] for row in (taken[1], taken[3])}
    last = decode(rows, left, 3)
    assert sorted(row.position for row in left) == [0, 1]
    for number in (1, 3):
        assert np.array_equal(last[taken[number]], lone_logits(session, prompts[number], texts[taken[number]]))


def test_a_prompt_left_behind_is_there_after_the_rows_have_moved(rows, session):
    prompt = tokens(0, 40)
    first, second = begin(rows, prompt), begin(rows, tokens(1, 30))
    rows.release(first)
    decode(rows, {second: tokens(2, 3)}, 3)
    assert (second.position, first.position) == (0, 1)
    again = rows.take(prompt + tokens(3, 9), 200)
    again.append(prompt + tokens(3, 9))
    assert again.reused == 40
    assert np.array_equal(again.logits(), lone_logits(session, prompt + tokens(3, 9), ()))


def test_prompts_of_rows_at_work_are_shared_and_what_they_decoded_is_not(rows, session):
    prompt, text = tokens(0, 40), tokens(7, 5)
    first = begin(rows, prompt)
    decode(rows, {first: text}, 5)
    conversation = prompt + text + tokens(2, 24)
    second = begin(rows, conversation)
    assert second.reused == 40
    assert np.array_equal(second.logits(), lone_logits(session, conversation, ()))
    assert np.array_equal(
        decode(rows, {first: tokens(8, 1), second: tokens(8, 1)}, 1)[first],
        lone_logits(session, prompt, text + tokens(8, 1)),
    )


def test_several_tokens_of_one_row_leave_the_others_alone(rows, session):
    prompts = [tokens(seed, 20) for seed in range(3)]
    first, second, third = (begin(rows, prompt) for prompt in prompts)
    second.append(tokens(5, 4))
    last = decode(rows, {row: tokens(6, 2) for row in (first, second, third)}, 2)
    for row, prompt in ((first, prompts[0]), (third, prompts[2])):
        assert np.array_equal(last[row], lone_logits(session, prompt, tokens(6, 2)))


def test_prompts_of_two_kinds_in_turns_are_both_kept(rows):
    one, two = tokens(0, 40), tokens(1, 40)
    reused = []
    for number in range(3):
        for prompt in (one, two):
            row = begin(rows, prompt + tokens(number, 5))
            reused.append(row.reused)
            rows.release(row)
    assert reused == [0, 0, 40, 40, 40, 40]


def test_the_row_that_was_free_longest_makes_way_for_a_prompt_of_another_kind(rows):
    for seed in range(SLOTS + 1):
        rows.release(begin(rows, tokens(seed, 40)))
    kept = [rows.take(tokens(seed, 40), 200).reused > 0 for seed in (1, 0)]
    assert kept == [True, False]


def test_a_row_that_failed_shares_nothing(rows):
    row = begin(rows, tokens(0, 40))
    with pytest.raises(Exception, match=r"total sequence length|total_sequence_length|INVALID_ARGUMENT|RUNTIME"):
        row.append(tokens(1, SMALLEST))
    rows.release(row)
    assert begin(rows, tokens(0, 40)).reused == 0


def test_longer_rows_are_fewer_and_what_is_at_work_moves_into_them(rows, session):
    prompt, text = tokens(0, 40), tokens(7, 6)
    row = begin(rows, prompt)
    decode(rows, {row: text}, 3)
    long = begin(rows, tokens(1, 700), 1000)
    assert row.cache is long.cache
    assert (row.cache.rows, row.cache.length) == (2, 1024)
    assert rows.take(tokens(2, 20), 200) is None
    last = decode(rows, {row: text[3:], long: text[3:]}, 3)[row]
    assert np.array_equal(last, lone_logits(session, prompt, text))


def test_short_rows_come_back_when_the_long_ones_are_gone(rows):
    rows.release(begin(rows, tokens(0, 40), CONTEXT))
    taken = [begin(rows, tokens(seed, 20)) for seed in range(SLOTS)]
    assert [row.cache.length for row in taken] == [SMALLEST] * SLOTS
    assert rows.take(tokens(9, 20), 200) is None


def test_where_cut_prompts_are_not_exact_every_prompt_is_computed_whole(session, caplog):
    class Careless(Cache):
        """Gets the last token wrong when there are tokens before it, as an operator with a bug would."""

        def run(self, tokens, lengths, *, first=0):
            super().run(tokens + (lengths[0] > 0), lengths, first=first)

    caplog.set_level("DEBUG", "olpipe")
    rows = Rows(lambda count, length: Careless(session, rows=count, length=length), slots=2, context_length=CONTEXT)
    for _ in range(3):
        row = begin(rows, tokens(0, 40))
        assert row.reused == 0
        assert np.array_equal(row.logits(), lone_logits(session, tokens(0, 40), ()))
        rows.release(row)
    assert caplog.text.count("cut prompts are not exact: every prompt is computed whole") == 1
