"""The table of attacks in `docs/store.md` names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.partition("## Attacks")[2].splitlines() if line.startswith("| ")][1:]


def test_every_attack_has_a_test():
    assert len(ROWS) > 30
    assert [row for row in ROWS if "::" not in row.split("|")[3]] == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[^`]+::\w+)`", PAGE))))
def test_every_test_that_is_named_is_there(name):
    path, _, test = name.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
