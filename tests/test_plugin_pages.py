"""What a plugin's author reads is whole, and says what the code does."""

import ast
import builtins
import inspect
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from olpipe import embedding, errors, generation, image, interfaces, messages, model, record
from olpipe.image import USUAL_PIXELS, Box
from olpipe.perception.prompt import NOTHING, UNSURE, describe
from olpipe.record import LONGEST_NAME, Detection, Evidence, Label, ReadText
from olpipe.testing import contracts

ROOT = Path(__file__).parents[1]
HOOKS = (ROOT / "docs/hooks.md").read_text(encoding="utf-8")
BACKEND_PAGE = (ROOT / "docs/write-a-backend.md").read_text(encoding="utf-8")
CUT = re.compile(r"^In `([\w./-]+)`:\n\n```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VALUE_MODULES = (messages, generation, embedding, model, image, record)
INTERFACES = [name for name in interfaces.__all__ if inspect.isclass(getattr(interfaces, name))]


def section(name):
    """Return the part of the page under a heading of any depth."""
    (found,) = re.findall(rf"^#+ {name}\n(.*?)(?=^#+ |\Z)", HOOKS, re.MULTILINE | re.DOTALL)
    return found


def mentioned(found):
    """Return the names in a class's annotations: its attributes' and its methods'."""
    texts = list(map(str, inspect.get_annotations(found).values()))
    texts += [str(inspect.signature(method)) for method in vars(found).values() if inspect.isfunction(method)]
    return set(re.findall(r"[A-Za-z_]\w+", " ".join(texts)))


@pytest.mark.parametrize("name", INTERFACES)
def test_every_attribute_of_an_interface_is_described(name):
    found = getattr(interfaces, name)
    named = [one for one in inspect.get_annotations(found) if not one.startswith("_")]
    described = dict(re.findall(r"^- `(\w+)[^`]*`: (.*)$", section(name), re.MULTILINE))
    assert [one for one in named if len(described.get(one, "").split()) < 2] == []


@pytest.mark.parametrize("name", INTERFACES)
def test_every_method_of_an_interface_is_described(name):
    public = {
        method: function
        for method, function in vars(getattr(interfaces, name)).items()
        if inspect.isfunction(function) and not method.startswith("_")
    }
    text = section(name)
    assert [one for one in public if not re.search(rf"^{one}\(", text, re.MULTILINE)] == []
    needed = [one for one, function in public.items() if getattr(function, "__isabstractmethod__", False)]
    assert text.count("*Needed.*") == len(needed)


def test_nothing_on_the_page_is_without_a_description():
    assert re.findall(r"^- `[^`]+`:\s*$", HOOKS, re.MULTILINE) == []


def test_every_error_that_is_named_is_one():
    raised = set(re.findall(r"^Raises:\n\n((?:- .*\n)+)", HOOKS, re.MULTILINE))
    names = {name for entries in raised for name in re.findall(r"^- `(\w+)`", entries, re.MULTILINE)}
    assert {"UsageError", "ContextExceeded", "PullFailed"} <= names
    assert [name for name in names if not hasattr(errors, name) and not hasattr(builtins, name)] == []


def test_every_value_that_an_interface_mentions_is_described():
    known = {
        name: found
        for module in VALUE_MODULES
        for name, found in vars(module).items()
        if inspect.isclass(found) and found.__module__ == module.__name__
    }
    reached, left = set(), {name for interface in INTERFACES for name in mentioned(getattr(interfaces, interface))}
    while left:
        name = left.pop()
        if name in known and name not in reached:
            reached.add(name)
            left |= mentioned(known[name])
        for module in VALUE_MODULES:  # a name for several: `Outcome`, `Part`
            left |= {one.__name__ for one in get_args(vars(module).get(name)) if inspect.isclass(one)} - reached
    assert {"GenerateRequest", "RunnerInfo", "LoadOptions", "Chunk", "Timings", "Evidence", "Box", "Failure"} <= reached
    assert [name for name in reached if f"#### {name}\n" not in HOOKS] == []


def imported_by_the_template():
    """Return every name that the template imports from olpipe, but for errors, each with its module."""
    nodes = [
        node
        for path in sorted((ROOT / "plugins/olpipe-template").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "olpipe"
    ]
    return sorted(
        {(node.module, alias.name) for node in nodes for alias in node.names if node.module != "olpipe.errors"}
    )


@pytest.mark.parametrize(("module", "name"), imported_by_the_template())
def test_everything_that_the_template_imports_is_on_the_page(module, name):
    described = rf"^#+ (?:{module}\.)?{name}\n|^- `(?:{module}\.|\w+\.)?{name}\b|^- `{name}` is |^def {name}\("
    assert re.search(described, HOOKS, re.MULTILINE) or f"from {module} import {name}" in HOOKS


@pytest.mark.parametrize("name", contracts.__all__)
def test_every_contract_lists_what_it_checks(name):
    contract = getattr(contracts, name)
    tests = [test for test in dir(contract) if test.startswith("test_")]
    text = section(name)
    assert text.count("\n- **") == len(tests)
    assert all(getattr(contract, test).__doc__.split("\n")[0].split()[0] in text for test in tests)


def test_limits_of_evidence_are_those_of_the_code():
    recipe = tomllib.loads((ROOT / "pipelines/photo-tags.toml").read_text(encoding="utf-8"))
    tags = recipe["schema"]["properties"]["tags"]
    assert (tags["maxItems"], tags["items"]["maxLength"], USUAL_PIXELS) == (12, LONGEST_NAME, 1024 * 1024)
    for page in (section("Perceiver"), (ROOT / "docs/plugins.md").read_text(encoding="utf-8")):
        text = " ".join(page.split())
        assert "English singular noun" in text
        assert f"at most {LONGEST_NAME} characters" in text
        assert f"the {tags['maxItems']} surest tags" in text
        assert "one megapixel" in text


def test_the_line_of_evidence_on_the_page_is_what_the_model_is_told():
    evidence = Evidence(
        (
            Detection("dog", 0.9, Box(100, 100, 400, 400)),
            Detection("dog", 0.8, Box(500, 100, 300, 300)),
            Detection("cup", 0.3, Box(10, 10, 40, 40)),
        ),
        (Label("lawn", 0.8), Label("garden", 0.3), Label("dog", 0.9)),
        (ReadText("NO\nDOGS", 0.9), ReadText("open daily", 0.5)),
    )
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^photo: .*$", page, re.MULTILINE)
    assert line == describe(evidence, 900, 600)
    assert f"`photo: {NOTHING}`" in page
    assert f"below {UNSURE} has a `maybe`" in page
    captions = (ROOT / "docs/captions.md").read_text(encoding="utf-8")
    assert f"`maybe` means that the score is below {UNSURE}." in captions


# --- writing a backend -------------------------------------------------------------------------


def test_code_of_the_page_on_backends_is_cut_from_the_template():
    cuts = CUT.findall(BACKEND_PAGE)
    assert len(cuts) == BACKEND_PAGE.count("```py\n") == 13
    changed = [name for name, code in cuts if code not in (ROOT / name).read_text(encoding="utf-8")]
    assert changed == []


def test_the_page_on_backends_shows_all_of_the_backend():
    shown = "\n".join(code for _, code in CUT.findall(BACKEND_PAGE))
    source = ROOT / "plugins/olpipe-template/src/olpipe_template"
    for name in ("counts.py", "counts_backend.py", "side_by_side.py"):
        defined = re.findall(r"^ *(?:def|class) \w+", (source / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert [one for one in defined if one not in shown] == []


def test_names_on_the_page_on_backends_are_names_of_the_code():
    names = ("LogitsRunner", "Vocabulary", "TemplateFiles", "ChatRenderer", "Markers", "ModelSequence")
    for name in (*names, "Preparer", "PreparedPrompt", "Decoder", "Run"):
        assert f"### {name}\n" in HOOKS
        assert f"`{name}" in BACKEND_PAGE
