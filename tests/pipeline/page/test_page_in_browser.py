"""The page of a batch in a real browser, opened as a file."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium.webdriver.common.keys import Keys

from olpipe.image import Box
from olpipe.record import ReadText
from olpipe.testing.images import photo
from tests.pipeline.page.albums import Album
from tests.server.browser import DESK, PHONE, axe_core

CAT, SIDE = "cat.jpg", "on-its-side.jpg"
MANY = 10_000
MOST_CARDS = 60


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return an album of a few photos that differ."""
    album = Album(tmp_path_factory.mktemp("small"))
    boxes = [{"x": 40, "y": 30, "w": 200, "h": 100, "type": "cat", "tags": ["tabby"], "score": 0.9}]
    boxes += [{"x": 300, "y": 10, "w": 80, "h": 280, "type": "lamp", "tags": [], "score": 0.4}]
    album.add(
        *(CAT, photo(450, 300)), title="A cat", description="It sleeps.", alt="A cat sleeps beside a lamp.",
        tags=["cat", "lamp"], tag_scores=[0.95, 0.4], objects=boxes, certainty="sure", text="Café «Éclair»", count=3,
    )  # fmt: skip
    album.add(
        *(SIDE, photo(300, 450, orientation=6)), title="Ein Turm", alt="Ein Turm.", tags=["tower"], tag_scores=[0.5],
        objects=[{"x": 30, "y": 45, "w": 60, "h": 90, "type": "tower"}], certainty="unsure",
    )  # fmt: skip
    album.add(
        "街.jpg", photo(64, 48), title="夜晚的街道", alt="夜晚的街道。", tags=["街道", "cat"], tag_scores=[0.7, None]
    )
    album.add("nothing.jpg", photo(60, 60), tags=[], certainty="unrecognised")
    album.add("own.jpg", photo(61, 60), data={"colour": "red", "sizes": [1, 2], "deep": {"a": {"b": "needle"}}})
    album.fail("broken.jpg", "the image is damaged", "take another one")
    album.make()
    return album


def rectangles(browser, selector):
    """Return where elements are: left, top, width and height, in pixels."""
    return browser.run(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.getBoundingClientRect())"
        ".map((one) => [one.left, one.top, one.width, one.height])",
        selector,
    )


def test_the_page_shows_all_photos_and_asks_nobody(browser, small):
    browser.album(small)
    assert browser.text("status") == "5 photos"
    assert browser.files() == ["A cat", "nothing.jpg", "Ein Turm", "own.jpg", "夜晚的街道"]
    assert browser.faults() == browser.complaints() == []
    browser.until(
        "return [...document.querySelectorAll('#photos img')].every((one) => one.complete && one.naturalWidth)"
    )
    asked = browser.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert {url.rpartition("/")[0].partition("out/")[0] for url in asked} <= {small.output.as_uri().removesuffix("out")}


def test_the_alternative_text_of_an_image_is_the_one_that_was_written(browser, small):
    browser.album(small)
    found = browser.run("return [...document.querySelectorAll('#photos img')].map((one) => [one.alt, one.lang])")
    assert found[0] == ["A cat sleeps beside a lamp.", "en"]
    assert [alt for alt, _ in found[1:]] == ["nothing.jpg", "Ein Turm.", "own.jpg", "夜晚的街道。"]


@pytest.mark.parametrize("name", [CAT, SIDE])
def test_boxes_lie_at_the_right_pixels_of_upright_photos(browser, small, name):
    (entry,) = [entry for entry in small.entries() if entry["file"] == name]
    browser.album(small, photo=name)
    original = (small.photos / name).as_uri()
    browser.until(f"return document.getElementById('shown').src === {original!r}")
    browser.until("return document.getElementById('shown').complete")
    size = browser.run("const one = document.getElementById('shown'); return [one.naturalWidth, one.naturalHeight]")
    assert size == [entry["width"], entry["height"]]
    ((left, top, width, height),) = rectangles(browser, "#shown")
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)
    scale = width / entry["width"]
    expected = [
        pytest.approx([left + one["x"] * scale, top + one["y"] * scale, one["w"] * scale, one["h"] * scale], abs=1)
        for one in entry["values"]["objects"]
    ]
    assert rectangles(browser, "#boxes > div") == expected


def test_boxes_of_thumbnails_count_in_pixels_of_the_photo(browser, small):
    browser.album(small)
    drawn = browser.run(
        "return [...document.querySelectorAll('#photos svg')].map((one) => [one.getAttribute('viewBox'),"
        " ...[...one.querySelectorAll('.over')].map("
        "(box) => ['x', 'y', 'width', 'height'].map((side) => box.getAttribute(side)))])"
    )
    assert drawn[0] == ["0 0 450 300", ["40", "30", "200", "100"], ["300", "10", "80", "280"]]
    assert drawn[2] == ["0 0 300 450", ["30", "45", "60", "90"]]
    images, drawings = rectangles(browser, "#photos img"), rectangles(browser, "#photos svg")
    assert images == drawings
    browser.one("draw").click()
    assert browser.run("return document.querySelector('#photos svg').checkVisibility()") is False


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("cat", ["A cat", "夜晚的街道"]),
        ("SLEEPS lamp", ["A cat"]),
        ("eclair", ["A cat"]),  # accents do not matter, and unknown keys are searched, too
        ("街道", ["夜晚的街道"]),
        ("side.jpg", ["Ein Turm"]),
        ("needle", ["own.jpg"]),
        ("cat tower", []),
    ],
)
def test_a_search_finds_words_wherever_they_stand(browser, small, words, found):
    browser.album(small)
    browser.type("words", words)
    assert browser.files() == found
    assert browser.text("status") == f"{len(found)} of 5 photos"
    assert browser.one("nothing").is_displayed() is (found == [])


def test_filters_work_together_and_can_be_cleared(browser, small):
    browser.album(small)
    options = browser.run("return [...document.getElementById('certainty').options].map((one) => one.textContent)")
    assert options == ["All (5)", "Sure (1)", "Unsure (1)", "Not recognised (1)", "Unsure or not recognised (2)"]
    browser.choose("certainty", "doubt")
    assert browser.files() == ["nothing.jpg", "Ein Turm"]
    browser.choose("certainty", "")
    browser.run("document.querySelector('#tags button[value=cat]').click()")
    assert browser.files() == ["A cat", "夜晚的街道"]
    browser.choose("type", "cat")
    assert browser.files() == ["A cat"]
    browser.one("clear").click()
    browser.settle()
    assert browser.text("status") == "5 photos"
    assert browser.driver.switch_to.active_element.get_attribute("id") == "words"
    browser.choose("type", "lamp")
    assert browser.files() == ["A cat"]
    browser.choose("score", "0.6")  # the lamp's is lower
    assert browser.files() == []
    browser.choose("type", "")
    assert browser.files() == ["A cat", "夜晚的街道"]
    assert browser.run("return document.querySelectorAll('#photos .over').length") == 1


def test_photos_can_be_ordered_by_how_sure_they_are(browser, small):
    browser.album(small)
    browser.choose("order", "doubt")
    assert browser.files() == ["nothing.jpg", "own.jpg", "Ein Turm", "夜晚的街道", "A cat"]


def test_a_photo_shows_all_that_its_record_says(browser, small):
    browser.album(small, photo=CAT)
    text = browser.one("panel").text
    for words in ("A cat", "It sleeps.", "A cat sleeps beside a lamp.", "0.95", "tabby", "text", "Café «Éclair»", "3"):
        assert words in text
    browser.album(small, photo="own.jpg")
    text = browser.one("panel").text
    for words in ("colour", "red", "sizes", "needle"):
        assert words in text


def test_failures_are_listed_with_their_message(browser, small):
    browser.album(small)
    assert browser.text("view-failures") == "Failures (1)"
    browser.one("view-failures").click()
    browser.settle()
    assert browser.one("failures").text.splitlines() == [
        "broken.jpg", "the image is damaged", "take another one", "kind: unreadable",
    ]  # fmt: skip
    assert browser.text("status") == "1 failure"
    browser.type("words", "cat")
    assert browser.text("status") == "0 of 1 failure"


def test_the_keyboard_is_enough(browser, small):
    browser.album(small)

    def focused():
        return browser.run("return document.activeElement.querySelector('.name').textContent")

    reached = []
    for _ in range(40):
        browser.press(Keys.TAB)
        reached.append(browser.run("return document.activeElement.id || document.activeElement.className"))
        if reached[-1] == "card":
            break
    assert reached[:2] == ["skip", "words"]
    assert {"certainty", "type", "score", "tag-words", "draw", "order"} <= set(reached)
    browser.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert focused() == "Ein Turm"
    browser.press(Keys.HOME, Keys.END)
    assert focused() == "夜晚的街道"
    browser.press(Keys.ENTER)
    browser.until("return document.getElementById('detail').open")
    assert browser.text("title") == "夜晚的街道"
    browser.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert (browser.text("title"), browser.text("place")) == ("Ein Turm", "3 of 5")
    browser.press(Keys.ESCAPE)
    browser.until("return !document.getElementById('detail').open")
    assert focused() == "Ein Turm"  # back in the list, at the photo that was shown last


def test_an_object_can_be_chosen_and_a_tag_leads_to_its_photos(browser, small):
    browser.album(small, photo=CAT)
    browser.run("document.querySelectorAll('#own-objects button')[1].focus()")
    browser.press(Keys.SPACE)
    pressed = browser.run("return [...document.querySelectorAll('#own-objects button')].map((one) => one.ariaPressed)")
    assert pressed == ["false", "true"]
    assert browser.run("return [...document.querySelectorAll('#boxes .chosen')].map((one) => one.textContent)") == [
        "lamp"
    ]
    browser.run("document.querySelector('#own-tags button').focus()")
    browser.press(Keys.ENTER)
    assert browser.one("detail").get_attribute("open") is None
    assert browser.files() == ["A cat", "夜晚的街道"]


def test_words_in_the_photo_are_shown_and_found_and_their_place_can_be_chosen(browser, album):
    read = (ReadText("NO PARKING", 0.97, Box(40, 30, 200, 60)), ReadText("营业时间", 0.9))
    album.add("sign.jpg", photo(450, 300), title="A sign", read=read)
    album.add("other.jpg", photo(451, 300), title="Another sign")
    album.make()
    browser.album(album)
    for words, files in (("parking", ["A sign"]), ("营业", ["A sign"]), ("sign", ["Another sign", "A sign"])):
        browser.run("const words = document.getElementById('words'); words.value = arguments[0];"
                    " words.dispatchEvent(new Event('input'))", words)  # fmt: skip
        browser.until(f"return document.getElementById('status').textContent.startsWith('{len(files)} ')")
        assert browser.files() == files
    browser.album(album, photo="sign.jpg")
    assert "Words in the photoNO PARKING0.97营业时间0.90" in browser.text("texts")
    assert browser.run("return document.querySelectorAll('#boxes > div').length") == 0
    browser.run("document.querySelector('#own-words button').click()")
    assert browser.run("return [...document.querySelectorAll('#boxes .chosen')].map((one) => one.textContent)") == [
        "NO PARKING"
    ]


def test_what_records_and_file_names_say_is_never_run(browser, album):
    evil = (
        '"><img src=x onerror="window.evil=1"></script><script>window.evil=1</script><b>{{about}}</b>${window.evil=1}'
    )
    names = [f"{evil.replace('/', '')}.jpg", "100% #1?&photo=x.jpg", "line\nbreak.jpg", "javascript:window.evil=1.jpg"]
    for number, name in enumerate(names):
        album.add(
            *(name, photo(64 + number, 48)), title=evil, alt=evil, description=evil, tags=[evil], tag_scores=[0.5],
            objects=[{"x": 1, "y": 1, "w": evil, "h": 5, "type": evil, "score": 0.5}], certainty="sure",
            **{evil: evil, "__proto__": {"evil": 1}, "constructor": evil, "data": {"__proto__": {"evil": 1}}},
        )  # fmt: skip
    album.fail(f"{evil}2.jpg", evil, evil)
    album.about.update(folder=evil, model=evil, recipe=evil)
    album.make()
    for name in names:
        browser.album(album, photo=name)
        browser.until(f"return document.getElementById('shown').src === {(album.photos / name).as_uri()!r}")
        assert browser.run("return document.getElementById('shown').alt") == evil
        assert browser.run("return [window.evil, ({}).evil, document.querySelectorAll('b').length]") == [None, None, 0]
        browser.run("document.getElementById('close').click(); document.querySelector('#tags button').click()")
        browser.run("document.getElementById('view-failures').click()")
        assert browser.text("failures").count(evil) == 3
        assert browser.run("return [window.evil, document.scripts.length]") == [None, 3]
    assert browser.text("name") == evil
    assert browser.complaints() == []


def test_a_photo_that_is_gone_shows_its_thumbnail(browser, small, tmp_path):
    import shutil

    album = Album(tmp_path / "copy")
    shutil.copytree(small.output, album.output)
    browser.album(album, photo=CAT)
    browser.until("return !document.getElementById('unshown').hidden")
    assert ".thumbnails" in browser.run("return document.getElementById('shown').currentSrc")
    assert len(rectangles(browser, "#boxes > div")) == 2


def test_a_page_without_its_files_says_so(browser, small, tmp_path):
    (tmp_path / "index.html").write_bytes(small.index.read_bytes())
    browser.show((tmp_path / "index.html").as_uri())
    browser.until("return document.body.dataset.ready")
    assert "cannot be read: copy the folder index_files together with this page" in browser.text("error")


@pytest.fixture(scope="module")
def large(tmp_path_factory, small):
    """Return an album of ten thousand photos that are not there."""
    album = Album(tmp_path_factory.mktemp("large"))
    album.make()
    (name,) = [path.name for path in (small.output / "index_files").glob("photos-*.js")]
    names = []
    for first in range(0, MANY, 1000):
        entries = [
            {
                "file": f"trip/{number:05}.jpg", "href": f"../{number}.jpg", "thumbnail": f"{number:032}", "width": 400,
                "height": 300, "values": {
                    "title": f"Photo number {number}", "alt": f"Alt {number}", "tags": [f"tag{number % 97}"],
                    "tag_scores": [number / MANY],
                    "objects": [{"x": 1, "y": 2, "w": 30, "h": 40, "type": "cat", "score": 0.5}],
                },
            }
            for number in range(first, first + 1000)
        ]  # fmt: skip
        names.append(f"photos-{first}.js")
        text = f"olpipePage.take(JSON.parse({json.dumps(json.dumps(entries))}));\n"
        Path(album.output, "index_files", names[-1]).write_text(text)
    text = album.index.read_text("utf-8")
    assert '"data":[]' in text and name
    album.index.write_text(text.replace('"data":[]', f'"data":{json.dumps(names)}'), "utf-8")
    return album


@pytest.mark.examples(1)
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_ten_thousand_photos_keep_the_page_small(browser, large, size):
    browser.album(large, size=size)
    assert browser.text("status") == "10,000 photos"
    seen = set()
    for part in range(11):
        browser.run(f"scrollTo(0, document.documentElement.scrollHeight * {part / 10})")
        browser.settle()
        files = browser.files()
        assert 0 < len(files) <= MOST_CARDS
        seen.update(files)
    assert "Photo number 9999" in seen
    assert browser.run("return document.querySelectorAll('*').length") < 2500
    # What is on the screen has a card at each place
    assert browser.run(
        "return [...Array(8).keys()].every("
        "(at) => document.elementFromPoint(innerWidth / 2, innerHeight * (at + 1) / 10)"
        ".closest('#photos') !== null)"
    )
    browser.run("scrollTo(0, 0)")
    browser.type("words", "number 777")
    assert browser.text("status") == "19 of 10,000 photos"
    browser.type("words", "")
    browser.run("document.querySelector('.card').focus()")
    browser.press(Keys.END)
    assert browser.run("return document.activeElement.textContent").startswith("Photo number 9999")
    position = browser.run(
        "const one = document.activeElement.parentElement; return [one.ariaPosInSet, one.ariaSetSize]"
    )
    assert position == ["10000", "10000"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_everybody_can_use_the_page(browser, small, axe, size, scheme):
    browser.album(small, size=size, scheme=scheme)
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(251, 251, 252)") is (scheme == "light")
    browser.run("document.getElementById('filters').open = true")
    browser.choose("score", "0.3")
    for where in ("photos", "failures", "one photo"):
        if where == "failures":
            browser.one("view-failures").click()
        if where == "one photo":
            browser.run(f"location.hash = '#photo={quote(CAT)}'")
            browser.until("return document.getElementById('detail').open")
        else:
            assert browser.faults() == []
        browser.settle()
        browser.run(axe)
        found = browser.driver.execute_async_script("axe.run().then(arguments[0])")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == [], where
        assert len(found["passes"]) > 10


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    return axe_core(tmp_path_factory.mktemp("axe"))
