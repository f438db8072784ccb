"""The page on vision models says of each family what the code says."""

import re
from pathlib import Path

import pytest

from olpipe.convert.vision_names import DIALECTS
from olpipe.families.table import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs/vision.md").read_text(encoding="utf-8")
ROWS = {
    cells[0]: cells[1:]
    for line in PAGE.splitlines()
    if (cells := re.split(r" \| ", line.strip("| "))) and len(cells) == 6
}
READ_BY = {"LLaVA 1.6": "LLaVA 1.5"}  # the same files, which say more


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_on_the_page_as_it_is(family):
    projector, whole_file, placeholder, tokens, boxes = ROWS[family.name]
    reads = next(one for one in FAMILIES if one.name == READ_BY.get(family.name, family.name))
    assert projector == ", ".join(f"`{name}`" for name in reads.projectors)
    together = [name for name, dialect in DIALECTS.items() if dialect.projector in family.projectors]
    assert whole_file == (", ".join(f"`{name}`" for name in together) or "no")
    assert placeholder == f"`{family.placeholder}`"
    assert tokens == str(family.usual_tokens)
    assert boxes == ("none" if family.boxes is None else f"`{family.boxes.key}` in {family.boxes.unit}")


def test_the_page_has_no_other_families():
    assert ROWS.keys() - {"family", "---"} == {family.name for family in FAMILIES}
