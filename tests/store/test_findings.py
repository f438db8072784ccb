"""What `olpipe doctor` found out about models: where it is kept, how long, and what follows from it."""

import logging
import shutil
from dataclasses import replace

import pytest

from olpipe.image import BoxDialect
from olpipe.model import ModelConfig, ModelName
from olpipe.store.findings import Finding, Findings, Fit
from olpipe.store.library import Library

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
FINDING = Finding(("onnx", "1"), "`m` sees.", Fit("xyxy", "thousandths", 0.2), Fit("xywh", "pixels", 0.9))
QWEN = BoxDialect("bbox_2d", "xyxy", "thousandths")


@pytest.fixture
def findings(tmp_path):
    return Findings(tmp_path / "models")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def put(library, name="one", data=b"weights"):
    layer = replace(library.add_bytes(data), name="model.gguf")
    library.commit(ModelName.parse(name), ModelConfig(), [layer])
    return library.digest(ModelName.parse(name))


@pytest.mark.parametrize("finding", [FINDING, Finding(("é", "2"), "`ü` does not see.")])
def test_a_finding_is_read_as_it_was_kept(findings, finding):
    findings.keep(DIGEST, Finding(("x", "1"), "before"))
    findings.keep(DIGEST, finding)
    assert findings.get(DIGEST) == finding
    assert findings.get(OTHER) is None


def test_nothing_is_left_beside_the_finding(findings, tmp_path):
    findings.keep(DIGEST, FINDING)
    assert [path.name for path in (tmp_path / "models/findings").iterdir()] == ["a" * 64 + ".json"]


def test_a_store_without_findings_is_not_touched(findings, tmp_path):
    assert findings.get(DIGEST) is None
    findings.discard(DIGEST)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"makers":7,"verdict":"","usual":null,"best":null}',
        b'{"makers":["a","1"],"verdict":"","usual":{"order":"xyxy","unit":"miles","overlap":1},"best":null}',
        b'{"makers":["a","1"],"verdict":"","usual":{"order":"xyxy","unit":"pixels","overlap":7},"best":null}',
        b"\xff",
    ],
)
def test_a_damaged_finding_is_warned_of_and_does_not_count(findings, tmp_path, caplog, data):
    findings.keep(DIGEST, FINDING)
    (tmp_path / f"models/findings/{'a' * 64}.json").write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert findings.get(DIGEST) is None
    (warning,) = caplog.messages
    assert "cannot be used" in warning and "run `olpipe doctor MODEL --eyes` again" in warning


def test_a_finding_outlives_the_cache_and_ends_with_its_model(library, tmp_path):
    digest = put(library)
    library.findings.keep(digest, FINDING)
    library.get(ModelName.parse("one"))
    shutil.rmtree(tmp_path / "cache")
    library.clean()
    assert library.findings.get(digest) == FINDING
    library.copy(ModelName.parse("one"), ModelName.parse("two"))
    library.remove(ModelName.parse("one"))
    assert library.findings.get(digest) == FINDING
    library.remove(ModelName.parse("two"))
    assert library.findings.get(digest) is None


def test_another_model_of_the_name_has_no_finding(library):
    before = put(library)
    library.findings.keep(before, FINDING)
    after = put(library, data=b"other weights")
    assert (library.findings.get(after), library.findings.get(before)) == (None, None)


# Overlap in the family's way, the best overlap, and whether the best way is used: None where boxes are withheld
CHOICES = [
    (0.9, 0.9, False),
    (0.9, 0.95, False),
    (0.6, 0.7, True),
    (0.6, 0.69, False),
    (0.0, 0.5, True),
    (0.45, 0.5, False),
    (0.0, 0.49, None),
    (0.0, 0.0, None),
]


@pytest.mark.parametrize(("usual", "best", "other"), CHOICES)
def test_another_way_is_used_where_it_fits_clearly_better_and_none_where_none_fits(usual, best, other):
    found = Finding(("a", "1"), "", Fit("xyxy", "thousandths", usual), Fit("yxyx", "fractions", best))
    expected = {
        None: ("withheld", None),
        True: ("yxyx fractions", BoxDialect("bbox_2d", "yxyx", "fractions")),
        False: ("", QWEN),
    }
    assert (found.change, found.dialect(QWEN)) == expected[other]


def test_a_family_whose_own_way_fits_best_stays_as_it_is():
    fit = Fit("xyxy", "thousandths", 0.8)
    found = Finding(("a", "1"), "", fit, fit)
    assert (found.change, found.dialect(QWEN)) == ("", QWEN)


def test_a_model_that_was_asked_for_no_boxes_stays_as_it_is():
    found = Finding(("a", "1"), "")
    assert (found.change, found.dialect(QWEN)) == ("", QWEN)
