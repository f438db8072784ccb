"""The fields of a review for values within `data`, and for boxes, in a real browser."""

import pytest
from selenium.webdriver.common.keys import Keys

from tests.reviewing.albums import Reviewing
from tests.reviewing.data_albums import BAG, CAT, DATA, OBJECTS, boxes_album, shop_album
from tests.reviewing.test_review_in_browser import Page
from tests.server.browser import DESK, PHONE, axe_core

ALT = "edit-/data/alt"
FAULT = "Alt: “No period” does not match the pattern ^[^.!?\\n]+[.]$"


class FormPage(Page):
    """The page of a review with a form."""

    def write(self, field, text):
        self.browser.type(f"edit-/data/{field}", text)
        self.browser.press(Keys.TAB)

    def shown(self, name):
        return super().shown(f"/data/{name}")

    def choose(self, field, text):
        """Choose an option by its text, as people do."""
        self.browser.run(
            "const one = document.getElementById(arguments[0]);"
            "one.selectedIndex = [...one.options].findIndex((option) => option.text === arguments[1]);"
            "one.dispatchEvent(new Event('change', {bubbles: true}))",
            f"edit-/data/{field}", text,
        )  # fmt: skip
        self.browser.settle()

    def faults(self):
        """Return the lines that say why a value was refused."""
        return self.browser.run(
            "return [...document.querySelectorAll('#texts .fault')]"
            ".filter((one) => !one.hidden).map((one) => one.textContent)"
        )

    def refused(self):
        self.browser.until("return [...document.querySelectorAll('#texts .fault')].some((one) => !one.hidden)")
        return self.faults()

    def values(self, name=BAG):
        self.saved()
        return self.reviewing.entries()[name]["values"]

    def names(self, selector):
        return self.browser.run(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.getAttribute('aria-label'))", selector
        )


def leave(browser):
    """Leave the page, and what it keeps in the browser."""
    browser.run("localStorage.clear()")
    browser.show("about:blank")


def reset(reviewing, name, fields):
    reviewing.change(name, verdict=None, edits=dict.fromkeys(fields))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with Reviewing(shop_album(tmp_path_factory.mktemp("shop")).output) as reviewing:
        yield reviewing


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    with Reviewing(boxes_album(tmp_path_factory.mktemp("boxes")).output) as reviewing:
        yield reviewing


@pytest.fixture
def page(browser, shop):
    page = FormPage(browser, shop)
    yield page
    leave(browser)
    reset(shop, BAG, [f"/data/{key}" for key in DATA])


@pytest.fixture
def box_page(browser, boxes):
    page = FormPage(browser, boxes)
    yield page
    leave(browser)
    reset(boxes, CAT, ["objects"])


def test_each_value_is_corrected_in_a_field_of_its_own(page):
    page.open(BAG)
    page.write("brand", "Acme")
    page.write("material", "")  # empty is null
    page.write("colours", "red\n\n blue ")
    page.choose("condition", "used")
    page.choose("category", "– (null)")
    data = page.values()["data"]
    assert data == {
        **DATA, "brand": "Acme", "material": None, "colours": ["red", "blue"], "condition": "used", "category": None,
    }  # fmt: skip
    page.open(BAG)
    assert [page.shown(name) for name in ("brand", "material", "colours")] == ["Acme", "", "red\nblue"]
    assert "The model wrote: brown, gold" in page.browser.one("texts").text
    page.click("#texts [aria-label='Undo the change of: Colours']")
    page.saved()
    assert page.shown("colours") == "brown\ngold"
    page.click("#undo")
    assert page.values()["data"] == DATA
    assert [page.shown(name) for name in ("brand", "material")] == ["", "leather"]
    assert page.browser.complaints() == []


def test_rows_are_added_changed_and_removed_with_the_keyboard_alone(page):
    page.open(BAG)
    page.browser.run("document.querySelector('.rows + .add').focus()")
    page.browser.press(Keys.ENTER)
    page.browser.press(*"size", Keys.TAB, *"small", Keys.TAB, Keys.TAB)
    page.saved()
    assert page.values()["data"]["attributes"] == [*DATA["attributes"], {"name": "size", "value": "small"}]
    assert page.names(".rows > li > div")[-1] == "Attributes, row 3"
    page.browser.run("document.querySelector('.rows .remove').focus()")
    page.browser.press(Keys.ENTER)
    assert page.browser.run("return document.activeElement.getAttribute('aria-label')") == "Remove row 1 of: Attributes"
    assert [one["name"] for one in page.values()["data"]["attributes"]] == ["strap", "size"]


def test_a_row_in_which_nothing_was_written_is_none(page):
    page.open(BAG)
    page.click(".rows + .add")
    page.browser.press(Keys.TAB, Keys.TAB, Keys.TAB)
    assert page.values()["data"] == DATA
    assert page.faults() == []


def test_what_is_refused_stays_in_its_field_until_it_fits(page):
    page.open(BAG)
    page.write("alt", "No period")
    assert page.refused() == [FAULT]
    told = page.browser.run(
        "const one = document.getElementById(arguments[0]); return [one.getAttribute('aria-invalid'),"
        " document.getElementById(one.getAttribute('aria-describedby').split(' ')[0]).textContent]",
        ALT,
    )
    assert told == ["true", FAULT]
    page.write("brand", "Acme")  # another field is kept all the same
    page.browser.until(
        "return document.querySelector('#texts [aria-label=\"Undo the change of: Brand\"]').checkVisibility()"
    )
    assert page.values()["data"] == {**DATA, "brand": "Acme"}
    for _ in ("reload", "again"):
        page.open(BAG)
        assert (page.shown("alt"), page.faults()) == ("No period", [FAULT])
    page.open()
    said = page.browser.run("return document.querySelector('#list .unsaved span').textContent")
    assert said == f"A value was refused, and waits in its field to be corrected: {BAG}, copy.jpg"
    page.open(BAG)
    page.write("alt", "No period.")
    assert page.values()["data"]["alt"] == "No period."
    assert page.faults() == []
    assert page.browser.run("return document.getElementById(arguments[0]).getAttribute('aria-invalid')", ALT) is None


def test_nobody_approves_a_record_whose_value_was_refused(page):
    page.open(BAG)
    page.browser.type(ALT, "No period")
    page.click("#approve")
    page.browser.until("return document.getElementById('told').textContent.startsWith('Not approved')")
    assert page.browser.text("title") == BAG  # it does not go on
    assert page.focused() == ALT
    assert "review" not in page.reviewing.entries()[BAG]
    page.write("alt", "A period.")
    page.saved()
    page.click("#approve")
    page.browser.until(f"return document.getElementById('title').textContent !== '{BAG}'")
    assert page.values()["data"]["alt"] == "A period."


def test_the_place_that_is_wrong_is_marked_within_rows(page):
    page.open(BAG)
    page.browser.run("document.querySelectorAll('.rows textarea')[3].select()")
    page.browser.press(Keys.DELETE, Keys.TAB, Keys.TAB)
    assert page.refused() == ["Attributes, row 2, value: it must not be empty"]
    assert (
        page.browser.run("return document.querySelectorAll('.rows textarea')[3].getAttribute('aria-invalid')") == "true"
    )


def test_a_value_that_is_too_large_is_refused_before_it_is_sent(page):
    page.open(BAG)
    page.browser.run(
        "const one = document.getElementById('edit-/data/brand'); one.style.display = 'none';"  # it takes long to draw
        "one.value = 'x'.repeat(1 << 20); one.dispatchEvent(new FocusEvent('focusout', {bubbles: true}))"
    )
    (told,) = page.refused()
    assert told.endswith("bytes, more than 1,048,576: write less into the field")
    assert page.values()["data"] == DATA


def test_escape_gives_back_and_letters_are_letters(page):
    page.open(BAG)
    page.browser.press("e")
    assert page.focused() == "edit-/data/product"
    page.browser.press(Keys.END, *"aru", Keys.ESCAPE)
    assert page.shown("product") == DATA["product"]
    assert page.values()["data"] == DATA and "review" not in page.reviewing.entries()[BAG]


def test_what_cannot_be_sent_is_sent_later(browser, tmp_path):
    album = shop_album(tmp_path)
    with Reviewing(album.output) as reviewing:
        page, port = FormPage(browser, reviewing), reviewing.port
        page.open(BAG)
        reviewing.kill()
        page.write("brand", "Acme")
        browser.until("return document.querySelector('#detail .unsaved').checkVisibility()")
        browser.show("about:blank")
    with Reviewing(album.output, "--port", str(port)) as again:
        page = FormPage(browser, again)
        page.open(BAG)
        assert page.shown("brand") == "Acme"
        assert page.values()["data"]["brand"] == "Acme"
        browser.show("about:blank")


def test_boxes_are_renamed_and_deleted(box_page):
    page = box_page
    page.open(CAT)
    page.click(".rows summary")
    page.browser.until("return document.querySelector('#boxes .chosen')?.textContent === 'cat'")
    page.browser.run("document.querySelector('.rows textarea').select()")
    page.browser.press(*"dog", Keys.TAB, Keys.TAB, *(Keys.TAB for _ in "xywh"), Keys.TAB)
    assert page.values(CAT)["objects"][0]["type"] == "dog"
    page.browser.until("return document.querySelector('#boxes .chosen')?.textContent === 'dog'")
    page.click(".rows > li:last-child .remove")
    assert [one["type"] for one in page.values(CAT)["objects"]] == ["dog"]
    page.browser.until("return document.querySelectorAll('#boxes div').length === 1")
    assert "The model wrote: cat, lamp" in page.browser.one("texts").text
    page.click("#texts [aria-label='Undo the change of: Objects']")
    assert page.values(CAT)["objects"] == OBJECTS
    assert page.browser.complaints() == []


def test_a_box_outside_the_photo_is_refused_at_its_number(box_page):
    page = box_page
    page.open(CAT)
    page.click(".rows summary")
    page.browser.run("document.querySelector('.rows .number input').select()")
    page.browser.press(*"80", Keys.TAB, Keys.TAB, Keys.TAB, Keys.TAB, Keys.TAB)
    assert page.refused() == ["Objects, row 1, x: x + w must lie within the photo's width of 90 pixels"]
    assert page.browser.run("return document.querySelector('.rows [aria-invalid]').value") == "80"
    page.click("#undo")
    assert page.faults() == []
    assert page.values(CAT)["objects"] == OBJECTS


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_everybody_can_use_the_form(page, boxes, axe, size, scheme):
    page.open(BAG, size=size, scheme=scheme)
    page.write("alt", "No period")
    page.write("brand", "Acme")
    page.refused()
    page.click(".rows + .add")
    check(page.browser, axe)
    other = FormPage(page.browser, boxes)
    other.open(CAT, size=size, scheme=scheme)
    other.click(".rows summary")
    check(page.browser, axe)


def check(browser, axe):
    assert browser.run("return document.getElementById('detail').scrollWidth <= innerWidth")
    wide = browser.run(
        "return [...document.querySelectorAll('#panel *')].filter((one) => one.checkVisibility()"
        " && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML)"
    )
    assert wide == []
    browser.settle()
    browser.run(axe)
    found = browser.driver.execute_async_script("axe.run().then(arguments[0])")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    assert len(found["passes"]) > 10


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    return axe_core(tmp_path_factory.mktemp("axe"))
