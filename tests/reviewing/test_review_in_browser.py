"""A review in a real browser: what people do with the mouse, with the keyboard alone, and when sending fails."""

from urllib.parse import quote

import pytest
from selenium.webdriver.common.keys import Keys

from tests.reviewing.albums import Reviewing
from tests.server.browser import DESK, PHONE, axe_core

CAT, DOG, STREET = "cat.jpg", "dog.jpg", "street.jpg"


class Page:
    """The page of a review in a browser."""

    def __init__(self, browser, reviewing):
        self.browser, self.reviewing = browser, reviewing

    def open(self, photo=None, **options):
        self.browser.show("about:blank")
        fragment = "" if photo is None else f"#photo={quote(photo)}"
        self.browser.show(self.reviewing.address + fragment, **options)
        self.browser.until("return document.body.dataset.ready")

    def saved(self):
        """Wait until the server has everything."""
        self.browser.until("return document.body.dataset.unsaved === '0'")

    def write(self, field, text):
        """Write into a field, and leave it."""
        self.browser.type(f"edit-{field}", text)
        self.browser.press(Keys.TAB)

    def click(self, selector):
        self.browser.run("document.querySelector(arguments[0]).click()", selector)
        self.browser.settle()

    def marks(self):
        return self.browser.run(
            "return Object.fromEntries([...document.querySelectorAll('#photos .card')].map((card) =>"
            " [card.querySelector('.name').textContent, card.querySelector('.badge.review')?.textContent ?? '']))"
        )

    def shown(self, name):
        return self.browser.run("return document.getElementById(arguments[0]).value", f"edit-{name}")

    def tags(self):
        return self.browser.run("return [...document.querySelectorAll('#edit-tags bdi')].map((one) => one.textContent)")

    def focused(self):
        return self.browser.run("return document.activeElement.id || document.activeElement.className")


@pytest.fixture
def own_page(browser, album):
    """Return the page of a review that the test may end."""
    with Reviewing(album.output) as reviewing:
        page = Page(browser, reviewing)
        page.album = album
        yield page
        page.browser.show("about:blank")


@pytest.fixture
def page(browser, served):
    """Return the page of a review in which nothing was done yet."""
    page = Page(browser, served)
    yield page
    page.browser.show("about:blank")
    for name in (CAT, DOG, STREET):
        served.change(name, verdict=None, corrections=dict.fromkeys(("title", "alt", "description", "tags")))


def test_what_people_do_is_there_after_a_reload_and_in_the_records(own_page):
    page = own_page
    page.open()
    assert page.browser.text("progress") == "0 of 4 reviewed: 0 approved · 0 edited · 0 rejected"
    page.open(CAT)
    page.write("title", "My cat")
    page.write("alt", "A cat that I know.")
    page.click("#edit-tags button[value=photo]")
    page.browser.one("new-tag").send_keys("sofa", Keys.ENTER)
    page.saved()
    page.open(DOG)
    page.click("#approve")
    assert page.browser.text("title") == "A street"  # the next one
    page.click("#reject")
    page.saved()
    page.open(CAT)
    assert (page.shown("title"), page.shown("alt"), page.tags()) == ("My cat", "A cat that I know.", ["cat", "sofa"])
    assert "The model wrote: A cat" in page.browser.one("texts").text
    page.open()
    assert page.marks() == {"My cat": "edited", "A dog": "approved", "A street": "rejected"} | {"My cat": "edited"}
    assert page.browser.text("progress").startswith("4 of 4 reviewed: 1 approved, 25% of those reviewed")
    assert page.browser.complaints() == []
    assert page.reviewing.interrupt()[0] == 0
    records = page.album.records()
    assert {name: (row["title"], row["tags"], row["review"]) for name, row in records.items()} == {
        CAT: ("My cat", ["cat", "sofa"], "edited"),
        "sub/copy.jpg": ("My cat", ["cat", "sofa"], "edited"),
        DOG: ("A dog", ["dog", "photo"], "approved"),
        STREET: ("A street", ["street", "photo"], "rejected"),
    }
    page.browser.album(page.album, photo=CAT)  # without a server, there is nothing to change
    text = page.browser.one("panel").text
    assert "edited" in text and "A cat that I know." in text
    assert page.browser.run("return document.querySelectorAll('textarea, #verdicts').length") == 0
    page.browser.choose("review", "rejected")
    assert page.browser.files() == ["A street"]


def test_undo_goes_back_to_what_the_model_wrote(page):
    page.open(CAT)
    page.write("title", "My cat")
    page.write("alt", "Mine.")
    page.click("#edit-tags button[value=cat]")
    page.click("#texts [aria-label='Undo the change of: Title']")
    assert (page.shown("title"), page.shown("alt"), page.tags()) == ("A cat", "Mine.", ["photo"])
    page.click("#undo")
    page.saved()
    assert (page.shown("title"), page.shown("alt"), page.tags()) == ("A cat", "A cat in a photo.", ["cat", "photo"])
    entry = page.reviewing.entries()[CAT]
    assert "review" not in entry and "written" not in entry
    page.write("title", "Yours")
    page.browser.type("edit-title", "Something")
    page.browser.one("edit-title").send_keys(Keys.ESCAPE)  # back to what stood there
    page.saved()
    assert page.reviewing.entries()[CAT]["values"]["title"] == "Yours"
    assert page.browser.run("return document.getElementById('detail').open")


def test_the_keyboard_is_enough(page):
    page.open()
    for _ in range(40):
        page.browser.press(Keys.TAB)
        if page.focused() == "card":
            break
    page.browser.press("a", "r")
    page.saved()
    assert page.marks() == {"A cat": "approved", "A dog": "rejected", "A street": ""}
    assert page.browser.text("told-here") == "Rejected: A dog. 3 of 4 reviewed."
    page.browser.press("e")
    page.browser.until("return document.activeElement.id === 'edit-title'")
    page.browser.press(Keys.END, "!", "a", "r", "u", Keys.ENTER)  # in a field, letters are letters
    assert page.browser.text("title") == "A street!aru"
    page.browser.press("u")
    assert page.browser.text("title") == "A street"
    page.browser.press("a")
    page.saved()
    reached = []
    for _ in range(30):
        page.browser.press(Keys.TAB)
        reached.append(page.focused())
    assert {"edit-title", "edit-alt", "edit-description", "new-tag", "add-tag", "approve", "reject", "undo"} <= {
        *reached
    }
    page.browser.run("document.getElementById('edit-alt').focus()")
    page.browser.press(Keys.ESCAPE, Keys.ESCAPE)
    page.browser.until("return !document.getElementById('detail').open")
    found = {name: entry.get("review") for name, entry in page.reviewing.entries().items()}
    assert (found[CAT], found[DOG], found["sub/copy.jpg"]) == ("approved", "rejected", "approved")


def test_keys_work_after_a_click_on_the_photo(page):
    page.open(CAT)
    page.browser.one("boxes").click()
    page.browser.press(Keys.ARROW_RIGHT)
    assert page.browser.text("title") == "A dog"
    page.browser.one("boxes").click()
    page.browser.press("a")
    assert page.browser.text("title") == "A street"
    page.saved()
    assert page.reviewing.entries()[DOG]["review"] == "approved"


def test_keys_can_be_switched_off(page):
    page.open()
    page.browser.run("document.getElementById('keys').click(); document.querySelector('.card').focus()")
    page.browser.press("a", "r")
    assert set(page.marks().values()) == {""}


def test_filters_show_what_is_left(page):
    page.reviewing.change(DOG, verdict="approved")
    page.open()
    options = page.browser.run("return [...document.getElementById('review').options].map((one) => one.textContent)")
    assert options == ["All (4)", "Not reviewed (3)", "Approved (1)", "Edited (0)", "Rejected (0)"]
    page.browser.choose("review", "none")
    page.browser.run(f"location.hash = '#photo={STREET}'")
    page.browser.until("return document.getElementById('detail').open")
    page.click("#reject")
    page.browser.until("return document.getElementById('status').textContent === '2 of 4 photos'")
    page.browser.choose("review", "rejected")
    assert page.browser.files() == ["A street"]


def test_what_cannot_be_sent_is_said_and_sent_later(own_page):
    page = own_page
    port = page.reviewing.port
    page.open(CAT, size=PHONE)
    page.reviewing.kill()
    page.write("title", "My cat")
    page.browser.until("return document.querySelector('#detail .unsaved').checkVisibility()")
    said = page.browser.run("return document.querySelector('#detail .unsaved').textContent")
    place = page.browser.run("return document.querySelector('#detail .unsaved').getBoundingClientRect()")
    assert 0 <= place["top"] < place["bottom"] <= PHONE[1]
    assert said.startswith("1 photo not saved: `olpipe review` cannot be reached.")
    assert page.shown("title") == "My cat"
    page.browser.show("about:blank")
    with Reviewing(page.album.output, "--port", str(port)) as again:  # a new page at the same place sends what is left
        later = Page(page.browser, again)
        later.open(CAT)
        assert later.shown("title") == "My cat"
        later.saved()
        assert again.entries()[CAT]["values"]["title"] == "My cat"


def test_what_people_write_is_never_run(page):
    evil = "<img src=x onerror='window.evil=1'>\"></textarea><script>window.evil=1</script>"
    page.reviewing.change(CAT, corrections={"title": evil, "alt": evil, "tags": [evil]})
    page.open(CAT)
    assert page.browser.text("title") == page.shown("alt") == page.tags()[0] == evil
    assert page.browser.run("return [window.evil, document.scripts.length]") == [None, 3]
    assert page.browser.complaints() == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_everybody_can_use_the_page(browser, served_reviews, axe, size, scheme):
    page = Page(browser, served_reviews)
    page.open(size=size, scheme=scheme)
    browser.run("document.getElementById('filters').open = true")
    assert browser.faults() == []
    for where in (None, CAT, DOG):
        if where is not None:
            browser.run(f"location.hash = '#photo={where}'")
            browser.until("return document.getElementById('detail').open")
            wide = browser.run("return document.getElementById('detail').scrollWidth <= innerWidth")
            assert wide
        browser.settle()
        browser.run(axe)
        found = browser.driver.execute_async_script("axe.run().then(arguments[0])")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == [], where
        assert len(found["passes"]) > 10


@pytest.fixture(scope="module")
def served_reviews(tmp_path_factory):
    from tests.reviewing.albums import ReviewAlbum
    from tests.reviewing.conftest import filled

    album = filled(ReviewAlbum(tmp_path_factory.mktemp("seen")))
    album.batch()
    with Reviewing(album.output) as reviewing:
        reviewing.change(CAT, corrections={"title": "My cat", "tags": ["cat"]})
        reviewing.change(DOG, verdict="rejected")
        reviewing.change(STREET, verdict="approved")
        yield reviewing


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    return axe_core(tmp_path_factory.mktemp("axe"))
