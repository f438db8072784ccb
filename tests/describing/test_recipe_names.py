"""Recipes that have names: those that ship, and those of a folder. Who has only a name cannot reach other files."""

import pytest
from click.testing import CliRunner

from olpipe.cli.app import App
from olpipe.cli.batch import batch
from olpipe.describing.recipe_file import named_recipe, named_recipes, read_recipe, shipped_recipes
from olpipe.errors import RecipeError
from olpipe.settings import Settings

SIGNS = """
name = "signs"
task = "data"
model = "echo"
prompt = "Read the sign."
[schema]
type = "object"
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "signs.toml").write_text(SIGNS)
    return folder


def test_recipes_of_a_folder_have_names_beside_those_that_ship(folder):
    assert set(named_recipes(folder)) == {*shipped_recipes(), "signs"}
    assert set(named_recipes()) == set(shipped_recipes())
    assert named_recipe("signs", folder) == read_recipe("signs", folder) == read_recipe(str(folder / "signs.toml"))


def test_a_recipe_of_the_folder_comes_before_one_that_ships(folder):
    (folder / "photo-tags.toml").write_text(SIGNS)
    assert named_recipe("photo-tags", folder).name == "signs"
    assert named_recipe("photo-tags").name == "photo-tags"


@pytest.mark.parametrize(
    "name", ["../signs", "./signs", "signs.toml", "{folder}/signs.toml", "{folder}/signs", "~/signs", "signs\0", ""]
)
def test_a_path_is_no_name(folder, name):
    with pytest.raises(RecipeError, match="there is no recipe"):
        named_recipe(name.format(folder=folder), folder)


@pytest.mark.parametrize("text", ["name = ", "nam = 'x'", "\udcff"])
def test_the_message_about_a_recipe_with_a_name_tells_no_path(folder, text):
    (folder / "broken.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RecipeError, match="recipe `broken`") as caught:
        named_recipe("broken", folder)
    assert str(folder) not in caught.value.message


def test_batch_knows_the_names_too(folder, tmp_path):
    (tmp_path / "photos").mkdir()
    (folder / "broken.toml").write_text("nam = 'x'")
    app = App(Settings(home=tmp_path / "home", recipes=folder))
    given = [str(tmp_path / "photos"), "-o", str(tmp_path / "out"), "--recipe", "broken"]
    raised = CliRunner().invoke(batch, given, obj=app).exception
    assert isinstance(raised, RecipeError)
    assert str(folder / "broken.toml") in raised.message
