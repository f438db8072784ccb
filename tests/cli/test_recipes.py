"""`olpipe recipes`: the list, what a recipe asks, every mistake in one, and the file of a new one."""

import json
import os

import pytest

from olpipe.cli.main import main
from olpipe.describing.recipe_file import read_recipe, shipped_recipes

OWN = """\
# What is for sale, and in which condition it is. Nothing else.

name = "condition"
task = "data"
model = "photo-mini"
prompt = "What is on {file} of {exif.date}? {evidence}"

[[examples]]
question = "A chair."
answer = '{"what": "chair"}'

[schema]
type = "object"
required = ["what"]
properties.what = { type = "string", maxLength = 60 }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "condition.toml").write_text(OWN)
    (folder / "broken.toml").write_text('name = "broken"\nmodl = "x"\n')
    monkeypatch.setenv("OLPIPE_RECIPES", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def recipes(folder, capsys):
    """Return a function that runs the command, and returns its exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["recipes", *map(str, arguments)])
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def test_the_list_has_one_line_for_each_recipe_that_ships_and_each_of_the_folder(recipes):
    code, out, _ = recipes("list")
    lines = out.splitlines()
    assert (code, lines[0].split()) == (0, ["NAME", "FROM", "MODEL", "ABOUT"])
    rows = [line.split(maxsplit=3) for line in lines[1:]]
    assert [row[:2] for row in rows] == [
        *([name, "olpipe"] for name in sorted(shipped_recipes())),
        ["broken", "you"],
        ["condition", "you"],
    ]
    assert rows[-1][2:] == ["photo-mini", "What is for sale, and in which condition it is."]
    assert "cannot be used" in lines[-2] and "`modl` is not known" in lines[-2]


def test_the_list_as_json_tells_where_each_file_is(recipes, folder):
    rows = {row["name"]: row for row in json.loads(recipes("list", "--json")[1])}
    assert rows["condition"] == {
        "name": "condition",
        "ships": False,
        "path": str(folder / "condition.toml"),
        "task": "data",
        "model": "photo-mini",
        "about": "What is for sale, and in which condition it is.",
        "error": None,
    }
    assert "`modl` is not known" in rows["broken"]["error"]
    assert all(rows[name]["ships"] and rows[name]["about"] for name in shipped_recipes())


def test_a_recipe_of_the_folder_hides_one_that_ships_under_its_name(recipes, folder):
    (folder / "photo-tags.toml").write_text(OWN)
    assert [row["ships"] for row in json.loads(recipes("list", "--json")[1]) if row["name"] == "photo-tags"] == [False]


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_is_shown_as_its_file_has_it(recipes, name):
    assert recipes("show", name) == (0, shipped_recipes()[name].read_text(encoding="utf-8"), "")


def test_the_schema_is_shown_as_json(recipes):
    assert json.loads(recipes("show", "condition", "--schema")[1]) == {
        "type": "object",
        "required": ["what"],
        "properties": {"what": {"type": "string", "maxLength": 60}},
    }


def test_the_prompt_is_shown_as_a_model_gets_it(recipes, folder):
    asked = "What is on IMG_0001.jpg of 2024-05-31? photo: two dogs close up (center), maybe small ball (left)"
    assert recipes("show", folder / "condition.toml", "--prompt")[1] == (
        f'{asked}\nA chair.\n\nassistant:\n{{"what": "chair"}}\n\n[photo]\n\n'
    )
    assert recipes("show", "photo-tags", "--prompt")[1] == "Describe the photo as JSON.\n[photo]\n\n"


def test_schema_and_prompt_are_not_shown_at_once(recipes):
    code, out, said = recipes("show", "photo-tags", "--prompt", "--schema")
    assert (code, out) == (2, "")
    assert said == "error: `--schema` and `--prompt` cannot be shown at once\nhint: give one of them\n"


def test_a_recipe_that_is_not_there_is_offered_the_nearest(recipes):
    said = "error: there is no recipe `conditon`\nhint: did you mean `condition`?\n"
    assert recipes("show", "conditon") == (2, "", said)


def test_check_tells_the_mistakes_of_all_files_at_once(recipes, folder):
    (folder / "own.toml").write_text(OWN.replace('"data"', '"photo"').replace("{file}", "{fil}"))
    code, out, said = recipes("check", "photo-tags", "broken", folder / "own.toml")
    assert (code, said) == (1, "")
    broken, own = folder / "broken.toml", folder / "own.toml"
    lines = out.splitlines()
    assert lines[0] == f"{shipped_recipes()['photo-tags']}: no mistakes"
    missing = ["task", "model", "prompt", "schema"]
    assert lines[1:5] == [f"{broken}:1: `{key}` is missing" for key in missing]
    assert lines[5] == f"{broken}:2: `modl` is not known (did you mean `model`?)"
    assert lines[6].startswith(f"{own}:6: `prompt` names `{{fil}}`, which is not known (did you mean `{{file}}`?")
    assert len(lines) == 7


def test_check_as_json_lists_mistakes_only(recipes, folder):
    (folder / "own.toml").write_text(OWN.replace('"data"', '"photo"'))
    code, out, _ = recipes("check", "--json", "condition", "own")
    assert code == 1
    (mistake,) = json.loads(out)
    assert (mistake["file"], mistake["line"], mistake["key"]) == (
        str(folder / "own.toml"),
        15,
        "schema.properties.what",
    )
    assert mistake["message"] == "the task `photo` does not know the property `what`"
    assert 'use `task = "data"`' in mistake["hint"]
    assert recipes("check", "--json", "condition")[:2] == (0, "[]\n")


def test_every_recipe_that_ships_has_no_mistakes(recipes):
    code, out, _ = recipes("check", *shipped_recipes())
    assert (code, out.count(": no mistakes\n")) == (0, len(shipped_recipes()))


@pytest.mark.parametrize("base", shipped_recipes())
def test_a_new_recipe_is_the_other_one_under_its_own_name(recipes, folder, base):
    code, out, said = recipes("new", "mine", "--from", base)
    path = folder / "mine.toml"
    assert (code, out) == (0, f"{path}\n")
    assert said == "use it with `olpipe batch PHOTOS -o OUTPUT --recipe mine`\n"
    mine, old = read_recipe("mine", folder), read_recipe(base)
    assert (mine.name, mine.schema, mine.prompt, mine.sampling) == ("mine", old.schema, old.prompt, old.sampling)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# mine: ") and all(f"{{{name}}}" in text for name in ("file", "folder", "exif.date"))
    assert recipes("check", "mine")[0] == 0


def test_a_new_recipe_goes_to_the_current_folder_where_there_is_no_other(recipes, monkeypatch):
    monkeypatch.delenv("OLPIPE_RECIPES")
    assert recipes("new", "mine") == (
        0,
        "mine.toml\n",
        "use it with `olpipe batch PHOTOS -o OUTPUT --recipe ./mine.toml`\n",
    )
    assert read_recipe("./mine.toml").name == "mine"


def test_a_file_that_is_there_is_never_replaced(recipes, folder):
    code, out, said = recipes("new", "condition")
    assert (code, out) == (2, "")
    assert said == (
        f"error: `{folder / 'condition.toml'}` is there already\nhint: give another name; no file is replaced\n"
    )
    assert (folder / "condition.toml").read_text() == OWN
    os.symlink(folder / "elsewhere", folder / "link.toml")
    assert recipes("new", "link")[0] == 2
    assert not (folder / "elsewhere").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a b", "`a b` cannot be the name of a recipe"),
        ("-x.toml", "`-x` cannot be the name of a recipe"),
        ("notes/a.txt", "`notes/a.txt` is not the name of a recipe's file"),
        ("../.toml", "`.toml` cannot be the name of a recipe"),
    ],
)
def test_what_cannot_be_a_recipes_name_is_refused(recipes, name, message, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    code, out, said = recipes("new", "--", name)
    assert (code, out, said.splitlines()[0]) == (2, "", f"error: {message}")
    assert sorted(tmp_path.rglob("*")) == before
