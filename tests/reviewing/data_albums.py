"""Albums of records that a shipped recipe made: one with a schema of its own, and one with boxes."""

import tomllib
from pathlib import Path

from olpipe.testing.images import photo
from tests.reviewing.albums import ReviewAlbum

RECIPES = Path(__file__).parents[2] / "pipelines"
BAG, CAT = "bag.jpg", "cat.jpg"
DATA = {
    "product": "leather bag", "category": "bags", "colours": ["brown", "gold"], "material": "leather",
    "condition": None, "brand": None, "text": ["HANDMADE"],
    "attributes": [{"name": "closure", "value": "zip"}, {"name": "strap", "value": "long"}],
    "tags": ["bag"], "alt": "A brown leather bag.",
}  # fmt: skip
OBJECTS = [
    {"x": 5, "y": 6, "w": 20, "h": 30, "type": "cat", "tags": ["tabby"], "score": 0.9},
    {"x": 40, "y": 6, "w": 20, "h": 10, "type": "lamp", "tags": [], "score": 0.5},
]


def schema_of(recipe):
    """Return the schema of a recipe that ships."""
    return tomllib.loads((RECIPES / f"{recipe}.toml").read_text("utf-8"))["schema"]


def shop_album(root, *sinks):
    """Return an album of things for sale: two photos, and a copy of one of them."""
    album = ReviewAlbum(root)
    album.add(BAG, photo(90, 60), data=DATA)
    album.add("shoe.jpg", photo(91, 60), data={**DATA, "product": "shoe", "category": "shoes", "alt": "A shoe."})
    album.copies["copy.jpg"] = photo(90, 60)
    album.batch(*sinks, schema=schema_of("ecommerce"))
    return album


def boxes_album(root, *sinks):
    """Return an album of one photo with two boxes."""
    album = ReviewAlbum(root)
    values = {"title": "A cat", "alt": "A cat.", "description": "It sits.", "tags": ["cat"], "tag_scores": [0.9]}
    album.add(CAT, photo(90, 60), **values, objects=OBJECTS)
    album.batch(*sinks, schema=schema_of("photo-tags"))
    return album
