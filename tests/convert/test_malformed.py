"""Files that fuzzing found, each with a way of its own through the reader: all are read or refused, at a small cost."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import pytest

from olpipe.convert.package import convert_gguf
from olpipe.errors import ModelCorrupt, ModelUnsupported

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from fuzz_gguf import refusals, write_seeds  # noqa: E402

FILES = sorted(Path(__file__).with_name("malformed").iterdir())


def test_there_are_files_to_read():
    assert len(FILES) > 40
    assert sum(path.stat().st_size for path in FILES) < 200_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name[:12])
def test_a_file_that_fuzzing_found_is_read_or_refused_in_one_line_and_little_memory(path, tmp_path):
    tracemalloc.start()
    try:
        refusals(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 32_000_000
    try:
        convert_gguf(path, tmp_path, progress=lambda _: None)
    except (ModelCorrupt, ModelUnsupported) as error:
        assert error.message.isprintable()


def test_what_fuzzing_begins_with_is_sound(tmp_path):
    write_seeds(tmp_path)
    found = {path.stem: refusals(path) for path in tmp_path.iterdir()}
    missing = ["`FILE` has no tensor `output_norm.weight`"]
    assert found == {name: [] if name in ("llama", "qwen2") else missing for name in found}
    assert len(found) == 13
