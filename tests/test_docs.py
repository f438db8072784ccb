"""The documentation says what the code does: reference pages are made from it, examples run, links lead somewhere."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import jsonschema
import pytest

from olpipe import errors, hookspecs
from olpipe.cli.group import COMMANDS
from olpipe.cli.main import cli
from olpipe.describing.recipe_file import KEYS, OPTIONS, parse_recipe, shipped_recipes
from olpipe.guidance.evidence import KINDS, evidence_kinds
from olpipe.guidance.schema import check_schema
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.manifest import Manifest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("plugins/*/README.md"), ROOT / "samples/README.md"])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")

INSTALL_AND_DESCRIBE = "pip install '.[cpu]' ./plugins/olpipe-photo-mini && olpipe batch samples/photos -o out"
INSTALL_AND_TEST = "pip install '.[cpu,test]' ./plugins/olpipe-photo-mini && pytest"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(text_of(path)) if found == language]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def examples() -> list[tuple[str, str]]:
    """Return every line of an unmarked code block that is a call of ours, with its page."""
    lines = [(shown(page), line) for page in PAGES for block in blocks(page, "") for line in block.splitlines()]
    return [(page, line) for page, line in lines if re.match(r"olpipe [a-z]", line) and "[OPTIONS]" not in line]


def anchors(path: Path) -> set[str]:
    """Return what `#…` may name on a page: its headings as the Markdown renderer writes them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text_of(path)), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", word) for word in words}


def test_the_manifest_on_the_page_on_models_is_one_that_the_store_writes():
    (example,) = blocks(DOCS / "models.md", "json")
    data = json.dumps(json.loads(example), separators=(",", ":")).encode()
    assert Manifest.from_bytes(data).to_bytes() == data


# --- reference ---------------------------------------------------------------------------------


def test_the_reference_pages_are_made_from_the_code_as_it_is():
    checked = subprocess.run([sys.executable, ROOT / ".ci/reference.py", "--check"], capture_output=True, text=True)
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_with_its_options(name):
    page = text_of(DOCS / "commands.md")
    section = page.partition(f"## olpipe {name}\n")[2].partition("\n## ")[0]
    command = cli.get_command(click.Context(cli), name)
    options = [option for given in command.params if isinstance(given, click.Option) for option in given.opts]
    assert section
    assert [option for option in options if f"`{option}`" not in section] == []


@pytest.mark.parametrize("hook", [name for name in vars(hookspecs) if name.startswith("register_")])
def test_every_hook_is_documented_with_its_arguments(hook):
    function = getattr(hookspecs, hook)
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    (found,) = re.findall(rf"^def {hook}\((.*)\) ->", text_of(DOCS / "hooks.md"), re.MULTILINE)
    assert tuple(re.findall(r"(\w+):", found)) == arguments
    assert f"`{hook}`" in text_of(DOCS / "plugins.md")


@pytest.mark.parametrize("setting", [found.metadata["env"] for found in fields(Settings)])
def test_every_setting_is_documented(setting):
    assert f"| `{setting}` |" in text_of(DOCS / "settings.md")


@pytest.mark.parametrize("name", [name for name, found in vars(errors).items() if isinstance(found, type)])
def test_every_error_is_documented(name):
    if issubclass(getattr(errors, name), errors.OlpipeError):
        assert f"| `{name}` |" in text_of(DOCS / "errors.md")


def test_everything_that_ships_is_in_both_tables_of_plugins(tmp_path):
    plugins = Plugins.load(Settings(home=tmp_path, plugins_allow=("photo-mini",)))
    names = {name for registry in plugins.registries().values() for name in registry.names()}
    assert {"ort-genai", "pip", "heif", "photo-mini", "data", "jsonl", "local"} <= names
    for page in (README, DOCS / "plugins.md"):
        rows = "\n".join(line for line in text_of(page).splitlines() if line.startswith("|"))
        assert [name for name in names if f"`{name}`" not in rows] == [], page


def test_every_key_of_a_recipe_is_documented():
    page = text_of(DOCS / "batch.md")
    assert [key for key in KEYS if f"`{key}`" not in page and f"[{key}]" not in page] == []
    assert [option for option in OPTIONS if f"`{option}`" not in page] == []
    assert [name for name in shipped_recipes() if f"pipelines/{name}.toml" not in page] == []


def test_every_dependency_is_explained():
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    page = text_of(DOCS / "dependencies.md")
    needed = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    named = {re.split(r"[\[<>=~ ]", requirement)[0] for requirement in [*project["dependencies"], *needed]}
    assert {"click", "pillow-heif", "gguf"} <= named
    assert [name for name in named if not name.startswith("onnxruntime-") and name not in page] == []
    assert [extra for extra in project["optional-dependencies"] if f"`{extra}`" not in page] == []


def test_every_decision_is_in_the_index():
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", text_of(DOCS / "decisions/index.md"))
    assert listed == sorted(path.name for path in (DOCS / "decisions").glob("0*.md"))


# --- examples ----------------------------------------------------------------------------------


def test_the_readme_opens_with_the_two_commands():
    assert [block.strip() for block in blocks(README, "")[:2]] == [INSTALL_AND_DESCRIBE, INSTALL_AND_TEST]


def test_the_record_in_the_readme_is_what_the_schema_says():
    schema = json.loads(text_of(DOCS / "record.schema.json"))
    (block,) = blocks(README, "json")
    record = json.loads(block)
    jsonschema.validate(record, schema)
    described = re.findall(r"^\| `(\w+)` \|", text_of(DOCS / "record.md").partition("## ")[0], re.MULTILINE)
    assert list(record) == [key for key in described if key in record]


@pytest.mark.parametrize(("page", "line"), examples())
def test_every_example_names_a_command_and_options_that_there_are(page, line):
    name, *arguments = shlex.split(line.partition("  ")[0])[1:]
    command = cli.get_command(click.Context(cli), name)
    if command is None:
        assert (name, (ROOT / "plugins/olpipe-template/src/olpipe_template/commands.py").is_file()) == ("colours", True)
        return
    if isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    given = [argument.partition("=")[0] for argument in arguments if re.match(r"--?[a-z]", argument)]
    known = {option for param in command.params for option in param.opts}
    assert set(given) - known == set(), page
    placeholders = [argument for argument in arguments if argument.startswith("INPUT")]
    if not placeholders:
        command.make_context(name, arguments)


def test_the_examples_are_many():
    assert {line.split()[1] for _, line in examples()} >= set(COMMANDS) - {"rm"}


@pytest.mark.parametrize(
    ("page", "source"), [(shown(page), source) for page in PAGES for source in blocks(page, "python")]
)
def test_python_in_the_documentation_is_python_that_imports_what_there_is(page, source, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "plugins/olpipe-template/src")
    if re.match(r"def \w+\(.*\) -> .*: \.\.\.$", source.strip()):  # a signature of the reference
        compile(source, page, "exec")
    else:
        exec(compile(source, page, "exec"), {"__name__": "documentation"})


def test_the_recipe_in_the_documentation_is_one():
    source, *_ = blocks(DOCS / "recipes.md", "toml")
    recipe = parse_recipe(tomllib.loads(source))
    assert (recipe.name, list(recipe.schema["properties"])) == ("condition", ["what", "condition"])


def test_the_recipe_with_stages_in_the_documentation_is_one():
    _, source, *_ = blocks(DOCS / "recipes.md", "toml")
    recipe = parse_recipe(tomllib.loads(source))
    assert [stage.name for stage in recipe.stages] == ["facts", "texts"]
    assert list(recipe.schema["properties"]) == ["product", "colours", "title", "alt"]


def test_the_schema_with_evidence_in_the_documentation_is_one():
    _, _, several, one = blocks(DOCS / "recipes.md", "toml")
    for source, kinds in ((several, {"words": "texts", "things": "tags"}), (one, {"scene": "tags"})):
        schema = check_schema(json.dumps(tomllib.loads(source)["schema"]))
        assert evidence_kinds(schema) == kinds


def test_every_kind_of_evidence_is_documented():
    rows = re.findall(r"^\| `(\w+)` \|", text_of(DOCS / "recipes.md"), re.MULTILINE)
    assert set(KINDS) <= set(rows)


def test_the_config_file_in_the_documentation_is_one(tmp_path):
    (source,) = blocks(DOCS / "settings.md", "toml")
    (tmp_path / "config.toml").write_text(source)
    assert Settings.read({"OLPIPE_HOME": str(tmp_path)}) == Settings(tmp_path, plugins_deny=("other",), threads=4)


def test_the_entry_points_in_the_documentation_are_those_of_the_template():
    (source,) = blocks(DOCS / "plugins.md", "toml")
    template = tomllib.loads(text_of(ROOT / "plugins/olpipe-template/pyproject.toml"))
    assert tomllib.loads(source)["project"]["entry-points"] == template["project"]["entry-points"]


def test_the_floors_in_the_documentation_are_those_of_the_plan():
    (block,) = [block for block in blocks(DOCS / "architecture.md", "") if "cli __main__" in block]
    floors = [tuple(line.split()[1:]) for line in block.splitlines() if line[:1].isdigit()]
    test = text_of(ROOT / "tests/test_architecture.py")
    plan: dict[str, tuple[tuple[str, ...], ...]] = {}
    exec(test[test.index("FLOORS = (") : test.index("# Beside the house")], plan)
    assert tuple(reversed(floors)) == plan["FLOORS"]


@pytest.mark.parametrize("page", [README, DOCS / "architecture.md"], ids=shown)
def test_the_trees_show_what_is_there(page):
    (block,) = [block for block in blocks(page, "") if "├── " in block]
    folder, missing = ROOT, []
    for line in block.splitlines():
        name = re.sub(r"^[├└]── ", "", line).split()[0]
        inside = line[0] in "├└"
        folder = folder if inside else ROOT / name
        if not (folder / name if inside else ROOT / name).exists():
            missing.append(line)
    assert missing == []


# --- links -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page):
    broken = []
    for target in LINK.findall(BLOCK.sub("", text_of(page))):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def test_pages_and_scripts_that_are_named_exist():
    named = {
        (shown(page), name)
        for page in PAGES
        for name in re.findall(r"`(?:python )?((?:benchmarks|tests|pipelines|plugins|samples)/[\w./-]+)", text_of(page))
    }
    assert {"benchmarks/startup.py", "plugins/olpipe-template"} <= {name for _, name in named}
    assert [(page, name) for page, name in named if not (ROOT / name).exists()] == []
