"""A good sink, and sinks with one fault each."""

import json
import os
from pathlib import Path

import pytest
from mutants.breaking import Mutants

from olpipe.errors import OutputUnavailable, UsageError
from olpipe.interfaces import Sink, SinkFactory
from olpipe.testing.contracts import SinkContract

CONTRACT = SinkContract
BEGINNING = b'{"file":'


class Lines(Sink):
    """Writes a file anew on every flush; its positions are byte offsets."""

    def __init__(self, path):
        self.path, self.position, self.lines = path, 0, []

    def recover(self, position):
        data = self.path.read_bytes() if self.path.exists() else b""
        if position == 0:
            self.refuse_others(data)
        elif not self.reaches(data, position):
            return False
        self.position, self.lines = position, []
        return True

    def refuse_others(self, data):
        if not BEGINNING.startswith(data[: len(BEGINNING)]):
            raise OutputUnavailable("it holds something else")

    def reaches(self, data, position):
        return data.startswith(BEGINNING) and data[position - 1 : position] == b"\n"

    def write(self, row):
        self.lines.append(json.dumps(row).encode() + b"\n")

    def flush(self):
        before = self.path.read_bytes()[: self.position] if self.position else b""
        whole = before + b"".join(self.lines)
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_bytes(whole)
        os.replace(fresh, self.path)
        self.position, self.lines = len(whole), []
        return self.position

    def close(self):
        self.lines = []


class LinesFactory(SinkFactory):
    scheme, usual_target = "lines", "records.lines"
    sink = Lines

    def open(self, target, run):
        return self.sink(run.output / target)


PLUGINS = Mutants(LinesFactory)


@PLUGINS.broken("test_it_has_a_scheme")
class ShoutsItsScheme(LinesFactory):
    """Its scheme is no scheme: it has a colon and capitals."""

    scheme = "LINES:"


@PLUGINS.broken("test_it_has_a_usual_target")
class HasNoUsualTarget(LinesFactory):
    """`--sink SCHEME` alone leads nowhere."""

    usual_target = ""


@PLUGINS.broken("test_it_says_of_every_schema_whether_it_takes_its_records")
class ExpectsProperties(LinesFactory):
    """It raises for schemas that it did not expect."""

    def accepts(self, schema):
        if not schema["properties"]:
            raise UsageError("there are no properties")
        return None


@PLUGINS.broken("test_it_says_of_every_schema_whether_it_takes_its_records")
class AnswersYesOrNo(LinesFactory):
    """It says whether, and not why not."""

    def accepts(self, schema):
        return bool(schema)


@PLUGINS.broken("test_it_takes_records_whose_properties_are_all_required")
class TakesNothing(LinesFactory):
    """It refuses every recipe."""

    def accepts(self, schema):
        return "it is full"


@PLUGINS.broken("test_what_is_flushed_can_be_read")
class LosesRows(LinesFactory):
    """Every second row is gone."""

    class sink(Lines):
        def write(self, row):
            if row["count"] % 2 == 0:
                super().write(row)


@PLUGINS.broken("test_what_is_flushed_can_be_read")
class DoublesRows(LinesFactory):
    """What was flushed is flushed again."""

    class sink(Lines):
        def flush(self):
            lines = self.lines
            position = super().flush()
            self.lines = lines
            return position


@PLUGINS.broken("test_what_is_flushed_can_be_read")
class WritesOnClose(LinesFactory):
    """A flush is only noted."""

    class sink(Lines):
        def flush(self):
            return self.position + sum(map(len, self.lines))

        def close(self):
            super().flush()


@PLUGINS.broken("test_what_is_flushed_can_be_read")
class TurnsRowsAround(LinesFactory):
    """The last row comes first."""

    class sink(Lines):
        def flush(self):
            self.lines.reverse()
            return super().flush()


@PLUGINS.broken("test_a_relative_target_lies_below_the_output_folder")
class UsesTheCurrentFolder(LinesFactory):
    """A relative target lies wherever the command was started."""

    def open(self, target, run):
        return self.sink(run.output.parent / target)


@PLUGINS.broken("test_it_leaves_rows_as_they_are")
class TakesRowsApart(LinesFactory):
    """Other sinks get rows without their file."""

    class sink(Lines):
        def write(self, row):
            super().write({"file": row.pop("file"), **row})


@PLUGINS.broken("test_the_next_run_goes_on_behind", "test_what_lies_behind_the_committed_position_is_dropped")
class BeginsAnew(LinesFactory):
    """Each run replaces what the last one wrote."""

    class sink(Lines):
        def recover(self, position):
            return super().recover(0)


@PLUGINS.broken("test_what_lies_behind_the_committed_position_is_dropped", "test_a_torn_row_is_dropped")
class AppendsBlindly(LinesFactory):
    """It goes on at the end, whatever its position is: rows come twice, torn ones stay."""

    class sink(Lines):
        def recover(self, position):
            found = super().recover(position)
            self.position = self.path.stat().st_size if position and found else self.position
            return found


@PLUGINS.broken("test_what_was_never_flushed_does_no_harm")
class FlushesOnClose(LinesFactory):
    """Rows behind the last flush are kept, though the ledger does not know them; it appends wherever the end is."""

    class sink(Lines):
        def recover(self, position):
            found = super().recover(position)
            self.position = self.path.stat().st_size if position and found else self.position
            return found

        def close(self):
            if self.lines:
                self.flush()


@PLUGINS.broken("test_starting_over_replaces_everything")
class NeverStartsOver(LinesFactory):
    """Position 0 is taken for «go on»."""

    class sink(Lines):
        def recover(self, position):
            return super().recover(position or (self.path.stat().st_size if self.path.exists() else 0))


@PLUGINS.broken("test_what_was_there_stays_until_the_first_flush")
class ClearsAtOnce(LinesFactory):
    """Starting over empties the file before there is anything to put there."""

    class sink(Lines):
        def recover(self, position):
            if position == 0:
                self.path.write_bytes(b"")
            return super().recover(position)


@PLUGINS.broken("test_what_was_there_stays_until_the_first_flush")
class RemovesTheFile(LinesFactory):
    """What was there goes when the first row is written."""

    class sink(Lines):
        def write(self, row):
            if self.position == 0:
                self.path.unlink(missing_ok=True)
            super().write(row)


@PLUGINS.broken("test_a_position_that_is_not_there_is_reported")
class BelievesEveryPosition(LinesFactory):
    """Rows that somebody removed are never written again."""

    class sink(Lines):
        def recover(self, position):
            self.position, self.lines = position, []
            return True

        def flush(self):
            self.path.touch()
            return super().flush()


@PLUGINS.broken("test_a_damaged_target_starts_over")
class ReadsBeforeItStartsOver(LinesFactory):
    """It takes a file of its own that was cut for somebody else's: every run fails until that is deleted."""

    class sink(Lines):
        def refuse_others(self, data):
            try:
                [json.loads(line) for line in data.splitlines()]
            except ValueError as error:
                raise OutputUnavailable("it holds something else") from error


@PLUGINS.broken("test_a_damaged_target_starts_over")
class StumblesOverDamage(LinesFactory):
    """It reads its last row to go on behind it, and fails where that is damaged."""

    class sink(Lines):
        def reaches(self, data, position):
            return bool(data) and bool(json.loads(data[:position].splitlines()[-1]))


@PLUGINS.broken("test_a_damaged_target_starts_over", "test_a_row_that_was_changed_by_hand_is_not_cut")
class TrustsTheLength(LinesFactory):
    """It goes on behind whatever is long enough, and the rows that are damaged are never written again."""

    class sink(Lines):
        def reaches(self, data, position):
            return data.startswith(BEGINNING) and len(data) >= position


@PLUGINS.broken("test_a_file_of_somebody_else_is_not_replaced")
class ReplacesEverything(LinesFactory):
    """Whoever names the wrong target loses a file."""

    class sink(Lines):
        def refuse_others(self, data):
            pass


@PLUGINS.broken("test_a_file_of_somebody_else_is_not_replaced")
class CutsWhatItFinds(LinesFactory):
    """It goes on behind its rows, in a file that took the place of its own."""

    class sink(Lines):
        def reaches(self, data, position):
            return len(data) >= position


@PLUGINS.broken("test_the_position_stays_where_nothing_is_written")
class CountsFlushes(LinesFactory):
    """Its position moves without a row."""

    class sink(Lines):
        def recover(self, position):
            self.flushes = position % 1000
            return super().recover(position // 1000)

        def flush(self):
            self.flushes += 1
            return super().flush() * 1000 + self.flushes


@PLUGINS.broken("test_a_target_that_cannot_be_written_is_refused")
class SwallowsErrors(LinesFactory):
    """Rows that could not be written are taken for written."""

    class sink(Lines):
        def flush(self):
            try:
                return super().flush()
            except OSError:
                return self.position


class TestSink(SinkContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def factory(self, plugin):
        return plugin.make()

    def read(self, target):
        path = Path(target)
        return [json.loads(line)["file"] for line in path.read_bytes().splitlines()] if path.exists() else []
