"""The rows of a batch: who gets which, what is shared, and that nothing moves but the place."""

from __future__ import annotations

import numpy as np
import pytest

from olpipe.decoding.prompt import PlacedImage, Prompt
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.graph_inputs import BLOCK, PIECE, pieces
from olpipe.default_plugins.onnx.rows import SMALLEST, TRIES, Rows
from olpipe.sessions import open_session
from olpipe.testing.models import build_tiny_package

CONTEXT = 2048
SLOTS = 4


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    package = build_tiny_package(tmp_path_factory.mktemp("model") / "package", context_length=CONTEXT)
    return open_session(package / "model.onnx", threads=1)


class Watched(Cache):
    """Notes the rows and tokens of every forward."""

    shapes = ()

    def run(self, tokens, lengths, *, further, first=0):
        self.shapes = (*self.shapes, tokens.shape)
        super().run(tokens, lengths, further=further, first=first)


class Unlike(Watched):
    """As on a processor whose products of a single row are rounded otherwise than those of more rows."""

    def logits(self, row):
        return super().logits(row) + (1e-3 if self.shapes[-1] == (1, 1) else 0)


class Alike(Watched):
    """As on a processor that rounds all products alike."""

    def run(self, tokens, lengths, *, further, first=0):
        self.shapes = (*self.shapes, tokens.shape)
        for place, length in enumerate(lengths):
            Cache.run(self, tokens[place : place + 1], [length], further=further, first=first + place)


class UnlikeAtLast(Alike):
    """As on a processor that rounds a single row otherwise, where the first tokens have the same logits by chance."""

    def logits(self, row):
        return super().logits(row) + (1e-3 if self.shapes[-1] == (1, 1) and self.shapes.count((1, 1)) > 5 else 0)


@pytest.fixture
def make(session):
    """Return what makes rows."""

    def make(slots=SLOTS, *, kind=Watched, context_length=CONTEXT):
        def open_cache(count, length):
            return kind(session, rows=count, length=length)

        return Rows(open_cache, slots=slots, context_length=context_length)

    return make


@pytest.fixture
def rows(make):
    return make()


@pytest.fixture
def lone_logits(make):
    """Return what computes the logits after a prompt and some tokens, in rows where nobody else ever is."""

    def lone_logits(prompt, text, **options):
        row, logits = begin(rows := make(**options), prompt)
        for token in text:
            (logits,) = rows.forward([(row, token)])
        return logits

    return lone_logits


def tokens(seed, count):
    return tuple(int(token) for token in np.random.default_rng(seed).integers(3, 250, count))


def begin(rows, prompt, length=200):
    """Give a prompt a row and prefill it; return the row and the logits behind the prompt."""
    row = rows.take(as_prompt(prompt), length)
    return row, row.prefill(as_prompt(prompt))


def as_prompt(prompt):
    return prompt if isinstance(prompt, Prompt) else Prompt(prompt)


def decode(rows, texts, steps):
    """Run some tokens of every row, one at a time and all together; return each row's last logits."""
    for step in range(steps):
        logits = rows.forward([(row, text[step]) for row, text in texts.items()])
    return dict(zip(texts, logits, strict=True))


@pytest.mark.parametrize("count", range(2, 9))
def test_ragged_rows_have_the_logits_of_lone_sequences(make, lone_logits, count):
    rows = make(8)
    prompts = [tokens(seed, 10 + 23 * seed) for seed in range(count)]
    texts = {begin(rows, prompt, 400)[0]: tokens(9 + len(prompt), 6) for prompt in prompts}
    for (row, logits), prompt in zip(decode(rows, texts, 6).items(), prompts, strict=True):
        assert np.array_equal(logits, lone_logits(prompt, texts[row], slots=8))


def test_logits_come_in_the_order_of_the_tokens(rows, lone_logits):
    prompts = [tokens(seed, 20) for seed in range(3)]
    taken = [begin(rows, prompt)[0] for prompt in prompts]
    order = (2, 0, 1)
    logits = rows.forward([(taken[number], 50 + number) for number in order])
    for number, found in zip(order, logits, strict=True):
        assert np.array_equal(found, lone_logits(prompts[number], (50 + number,)))


def test_those_at_work_move_together_and_keep_what_they_hold(rows, lone_logits):
    prompts = [tokens(seed, 20 + seed) for seed in range(SLOTS)]
    taken = [begin(rows, prompt)[0] for prompt in prompts]
    texts = {row: tokens(7 + row.position, 6) for row in taken}
    decode(rows, texts, 3)
    for number in (0, 2):
        rows.release(taken[number])
    left = {row: texts[row][3:] for row in (taken[1], taken[3])}
    last = decode(rows, left, 3)
    assert sorted(row.position for row in left) == [0, 1]
    for number in (1, 3):
        assert np.array_equal(last[taken[number]], lone_logits(prompts[number], texts[taken[number]]))


def test_a_prompt_left_behind_is_there_after_the_rows_have_moved(rows, lone_logits):
    prompt = tokens(0, 40)
    (first, _), (second, _) = begin(rows, prompt), begin(rows, tokens(1, 30))
    rows.release(first)
    decode(rows, {second: tokens(2, 3)}, 3)
    assert (second.position, first.position) == (0, 1)
    again, logits = begin(rows, prompt + tokens(3, 9))
    assert again.reused == 40
    assert np.array_equal(logits, lone_logits(prompt + tokens(3, 9), ()))


def test_prompts_of_rows_at_work_are_shared_and_what_they_decoded_is_not(rows, lone_logits):
    prompt, text = tokens(0, 40), tokens(7, 5)
    first, _ = begin(rows, prompt)
    decode(rows, {first: text}, 5)
    conversation = prompt + text + tokens(2, 24)
    second, logits = begin(rows, conversation)
    assert second.reused == 40
    assert np.array_equal(logits, lone_logits(conversation, ()))
    assert np.array_equal(
        decode(rows, {first: tokens(8, 1), second: tokens(8, 1)}, 1)[first],
        lone_logits(prompt, text + tokens(8, 1)),
    )


def test_two_photos_with_equal_placeholders_share_nothing_from_the_photo_on(rows):
    def photo_prompt(digest):
        return Prompt(tokens(0, 10) + (9,) * 16 + tokens(1, 14), (PlacedImage(10, 16, digest),))

    reused = []
    for digest in ("sea", "street", "sea", "street"):
        row, _ = begin(rows, photo_prompt(digest))
        reused.append(row.reused)
        rows.release(row)
    assert photo_prompt("sea").tokens == photo_prompt("street").tokens
    assert reused == [0, 10, 38, 38]


def test_a_photo_of_a_row_at_work_is_shared_with_itself_alone(rows):
    def photo_prompt(digest, question):
        return Prompt(tokens(0, 10) + (9,) * 16 + tokens(question, 14), (PlacedImage(10, 16, digest),))

    begin(rows, photo_prompt("sea", 1))
    assert begin(rows, photo_prompt("street", 1))[0].reused == 10
    assert begin(rows, photo_prompt("sea", 2))[0].reused == 26


def test_several_tokens_of_one_row_leave_the_others_alone(rows, lone_logits):
    prompts = [tokens(seed, 20) for seed in range(3)]
    (first, _), (second, _), (third, _) = (begin(rows, prompt) for prompt in prompts)
    second.decode(tokens(5, 4))
    last = decode(rows, {row: tokens(6, 2) for row in (first, second, third)}, 2)
    for row, prompt in ((first, prompts[0]), (third, prompts[2])):
        assert np.array_equal(last[row], lone_logits(prompt, tokens(6, 2)))


def test_prompts_of_two_kinds_in_turns_are_both_kept(rows):
    one, two = tokens(0, 40), tokens(1, 40)
    reused = []
    for number in range(3):
        for prompt in (one, two):
            row, _ = begin(rows, prompt + tokens(number, 5))
            reused.append(row.reused)
            rows.release(row)
    assert reused == [0, 0, 40, 40, 40, 40]


def test_the_row_that_was_free_longest_makes_way_for_a_prompt_of_another_kind(rows):
    for seed in range(SLOTS + 1):
        rows.release(begin(rows, tokens(seed, 40))[0])
    kept = [rows.take(Prompt(tokens(seed, 40)), 200).reused > 0 for seed in (1, 0)]
    assert kept == [True, False]


TOO_LONG = r"total sequence length|total_sequence_length|INVALID_ARGUMENT|RUNTIME"


def test_a_row_that_failed_at_its_prompt_shares_nothing(rows):
    prompt = Prompt(tokens(0, 40) + tokens(1, SMALLEST))
    row = rows.take(prompt, 200)
    with pytest.raises(Exception, match=TOO_LONG):
        row.prefill(prompt)
    rows.release(row)
    assert begin(rows, tokens(0, 40))[0].reused == 0


def test_a_row_that_failed_at_its_answer_shares_nothing(rows):
    row, _ = begin(rows, tokens(0, 40))
    with pytest.raises(Exception, match=TOO_LONG):
        row.decode(tokens(1, SMALLEST))
    rows.release(row)
    assert begin(rows, tokens(0, 40))[0].reused == 0


def test_longer_rows_are_fewer_and_what_is_at_work_moves_into_them(rows, lone_logits):
    prompt, text = tokens(0, 40), tokens(7, 6)
    row, _ = begin(rows, prompt)
    decode(rows, {row: text}, 3)
    long, _ = begin(rows, tokens(1, 700), 1000)
    assert row.cache is long.cache
    assert (row.cache.rows, row.cache.length) == (2, 1024)
    assert rows.take(Prompt(tokens(2, 20)), 200) is None
    last = decode(rows, {row: text[3:], long: text[3:]}, 3)[row]
    assert np.array_equal(last, lone_logits(prompt, text))


def test_short_rows_come_back_when_the_long_ones_are_gone(rows):
    rows.release(begin(rows, tokens(0, 40), CONTEXT)[0])
    taken = [begin(rows, tokens(seed, 20))[0] for seed in range(SLOTS)]
    assert [row.cache.length for row in taken] == [SMALLEST] * SLOTS
    assert rows.take(Prompt(tokens(9, 20)), 200) is None


@pytest.mark.parametrize("length", [*range(63, 68), 97, 129, 257])
def test_a_prompt_has_the_same_logits_whatever_it_takes_over(make, lone_logits, length):
    prompt = tokens(0, length)
    whole = lone_logits(prompt, ())
    for shared in range(2, min(length - 2, 2 * BLOCK + 4)):
        rows = make()
        begin(rows, (*prompt[:shared], 2), 400)
        row, logits = begin(rows, prompt, 400)
        assert np.array_equal(logits, whole), shared
        assert row.reused == shared


@pytest.mark.parametrize("image", [None, PlacedImage(3, 40, "sea")])
def test_no_forward_has_a_single_token_behind_whole_blocks(image):
    for length in range(50, 120):
        prompt = Prompt(tokens(0, length), () if image is None else (image,))
        for start in (0, 1, 2, 43, 44):
            found = pieces(prompt, start, PIECE)
            assert [end for _, end in found[:-1]] == [begin for begin, _ in found[1:]]
            assert (found[0][0], found[-1][1]) == (start, length)
            assert not {(end - begin) % BLOCK for begin, end in found} & {1}
            assert not any(image and image.start < end < image.end for _, end in found)


def test_a_prompt_that_ends_with_an_image_is_not_cut_in_it():
    for length in range(10, 60):
        prompt = Prompt(tokens(0, length), (PlacedImage(3, length - 3, "sea"),))
        assert pieces(prompt, 0, PIECE) in ([(0, length)], [(0, 3), (3, length)])
        assert pieces(prompt, 3, PIECE) == [(3, length)]


def test_where_cut_prompts_are_not_exact_every_prompt_is_computed_whole(make, lone_logits, caplog):
    class Careless(Watched):
        """Gets the last token wrong when there are tokens before it, as an operator with a bug would."""

        def run(self, tokens, lengths, *, further, first=0):
            super().run(tokens + (lengths[0] > 0), lengths, further=further, first=first)

    caplog.set_level("DEBUG", "olpipe")
    rows = make(2, kind=Careless)
    for _ in range(3):
        row, logits = begin(rows, tokens(0, 40))
        assert row.reused == 0
        assert np.array_equal(logits, lone_logits(tokens(0, 40), (), slots=2))
        rows.release(row)
    assert caplog.text.count("prompts in pieces are not exact, so every prompt is computed as a whole") == 1


# --- a sequence that is alone ---


def lone_shapes(rows, steps=4):
    """Decode with nobody else at work; return the shapes of the forwards behind the prompt."""
    row, _ = begin(rows, tokens(0, 20))
    before = len(row.cache.shapes)
    decode(rows, {row: tokens(1, steps)}, steps)
    return list(row.cache.shapes[before:])


def test_where_a_single_row_is_rounded_otherwise_an_empty_row_goes_along(make):
    assert lone_shapes(make(kind=Unlike)) == [(1, 1), (2, 1), (2, 1), (2, 1), (2, 1)]


def test_where_all_rows_are_rounded_alike_a_lone_row_goes_alone_once_that_was_tried(make):
    assert lone_shapes(make(kind=Alike), TRIES + 3) == [(1, 1), (2, 1)] * TRIES + [(1, 1)] * 3


def test_logits_that_are_the_same_by_chance_prove_nothing(make):
    assert lone_shapes(make(kind=UnlikeAtLast), 8) == [(1, 1), (2, 1)] * 6 + [(2, 1)] * 2


def test_what_was_tried_is_not_tried_again_after_others_were_at_work(make):
    rows = make(kind=Unlike)
    lone_shapes(rows)
    other, _ = begin(rows, tokens(2, 20))
    rows.release(other)
    assert lone_shapes(rows) == [(2, 1)] * 4


@pytest.mark.parametrize("kind", [Watched, Unlike, Alike])
def test_who_is_left_alone_goes_on_as_among_others(make, lone_logits, kind):
    rows = make(kind=kind)
    prompt, text = tokens(0, 30), tokens(1, 9)
    (row, _), (other, _) = begin(rows, prompt), begin(rows, tokens(2, 50))
    decode(rows, {row: text[:3], other: tokens(3, 3)}, 3)
    rows.release(other)
    decode(rows, {row: text[3:6]}, 3)
    another, _ = begin(rows, tokens(4, 11))
    last = decode(rows, {row: text[6:], another: tokens(5, 3)}, 3)[row]
    assert np.array_equal(last, lone_logits(prompt, text, kind=kind))


@pytest.mark.parametrize("kind", [Watched, Unlike])
def test_the_prompt_that_a_neighbour_left_survives_who_goes_alone_beside_it(make, lone_logits, kind):
    rows = make(kind=kind)
    kept = tokens(0, 40)
    (row, _), (neighbour, _) = begin(rows, tokens(1, 30)), begin(rows, kept)
    decode(rows, {row: tokens(2, 2), neighbour: tokens(3, 2)}, 2)
    rows.release(neighbour)
    decode(rows, {row: tokens(4, 5)}, 5)
    again, logits = begin(rows, kept + tokens(5, 9))
    assert again.reused == 40
    assert np.array_equal(logits, lone_logits(kept + tokens(5, 9), (), kind=kind))


@pytest.mark.parametrize("kind", [Watched, Unlike])
def test_a_prompt_that_fills_its_row_is_given_up_for_who_goes_alone_beside_it(make, lone_logits, kind):
    rows = make(2, kind=kind, context_length=SMALLEST)
    full = tokens(0, SMALLEST)
    (row, _), (neighbour, _) = begin(rows, tokens(1, 30)), begin(rows, full, SMALLEST)
    rows.release(neighbour)
    assert len(neighbour.prefilled) == neighbour.cache.length
    last = decode(rows, {row: tokens(4, 5)}, 5)[row]
    assert np.array_equal(last, lone_logits(tokens(1, 30), tokens(4, 5), slots=2, kind=kind))
    again, logits = begin(rows, full, SMALLEST)
    assert again.reused in (0, SMALLEST - 2)
    assert again.reused == 0 or kind is not Unlike
    assert np.array_equal(logits, lone_logits(full, (), slots=2, kind=kind))


@pytest.mark.parametrize("kind", [Watched, Unlike])
def test_a_sequence_as_long_as_the_context_has_an_empty_row_of_its_own(make, lone_logits, kind):
    rows = make(kind=kind)
    row, _ = begin(rows, tokens(0, 30), CONTEXT)
    assert (row.cache.rows, row.cache.length) == (2, CONTEXT)
    assert rows.take(Prompt(tokens(1, 30)), 200) is None
    last = decode(rows, {row: tokens(2, 5)}, 5)[row]
    assert np.array_equal(last, lone_logits(tokens(0, 30), tokens(2, 5), kind=kind))


@pytest.mark.parametrize("kind", [Watched, Unlike])
def test_with_one_slot_no_empty_row_goes_along_and_answers_repeat(make, kind):
    def logits_of(rows):
        row, _ = begin(rows, tokens(0, 20))
        last = decode(rows, {row: tokens(1, 4)}, 4)[row]
        rows.release(row)
        return last, row.cache

    rows = make(1, kind=kind)
    first, cache = logits_of(rows)
    assert cache.rows == 1
    assert set(cache.shapes) == {(1, 20), (1, 1)}
    assert np.array_equal(logits_of(rows)[0], first)
    assert np.array_equal(logits_of(make(1, kind=kind))[0], first)
