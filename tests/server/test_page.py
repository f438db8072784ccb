"""The page at `/`: for browsers only, and asking nobody but its own server."""

import base64
import hashlib
import re
import urllib.request
from pathlib import Path

import pytest

from olpipe.testing.images import photo
from tests.server.browser import DESK, PHONE, Browser, axe_core

SAMPLES = Path(__file__).parents[2] / "samples" / "photos"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def get(server, **headers):
    """Return the headers and the text at `/`."""
    request = urllib.request.Request(server.url + "/", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.headers, reply.read().decode()


# --- as it is sent ------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [{}, {"Accept": "*/*"}, {"Accept": "application/json, text/plain, */*"}])
def test_clients_of_ollama_read_that_it_is_running(server, accept):
    headers, text = get(server, **accept)
    assert text == "Ollama is running"
    assert headers["Vary"] == "Accept"


def test_browsers_get_a_page(server):
    headers, text = get(server, Accept=BROWSER)
    assert headers.get_content_type() == "text/html"
    assert headers["Vary"] == "Accept"
    assert text.startswith("<!doctype html>")


def test_the_page_may_run_its_own_script_only_and_ask_its_own_server_only(server):
    headers, text = get(server, Accept=BROWSER)
    rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    for element in ("script", "style"):
        (inside,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[f"{element}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["connect-src"] == "'self'"


def test_the_page_names_no_other_host(server):
    _, text = get(server, Accept=BROWSER)
    assert set(re.findall(r"""(?:https?:)?//[a-z0-9][^\s"'`<>]*""", text)) == {"http://www.w3.org/2000/svg"}
    assert re.findall(r"\s(?:on\w+|style)=", text) == []


# --- in a browser -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    return axe_core(tmp_path_factory.mktemp("axe"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cat.jpg", "cat-on-its-side.jpg"])
def test_a_photo_shows_its_record_and_its_boxes(browser, server, name):
    browser.open(server.url)
    record = browser.describe(SAMPLES / name)
    data = base64.b64encode((SAMPLES / name).read_bytes()).decode()
    assert record == server.post("/api/describe", {"image": data, "file": name})[1]
    assert len(record["objects"]) > 0
    drawn = browser.run(
        "return [...document.querySelectorAll('#boxes .over')].map((one) => ['x', 'y', 'width', 'height']"
        ".map((side) => Number(one.getAttribute(side))))"
    )
    assert drawn == [[thing[side] for side in "xywh"] for thing in record["objects"]]
    # The drawing counts in pixels of the upright photo, and covers what the browser shows of it
    place = "return ['shown', 'boxes'].map((id) => document.getElementById(id).getBoundingClientRect().toJSON())"
    image, boxes = browser.run(place)
    assert boxes == pytest.approx(image, abs=1)
    size = record["image"]
    assert image["width"] / image["height"] == pytest.approx(size["width"] / size["height"], rel=0.01)
    assert f"{len(drawn)} box" in browser.text("status") or "one box" in browser.text("status")
    assert "photo-mini:latest" in browser.text("loaded-table")
    assert browser.faults() == browser.complaints() == []
    assert browser.asked() == {server.url}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_everybody_can_use_the_page(browser, server, axe, size, scheme):
    browser.open(server.url, size=size, scheme=scheme)
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") is (scheme == "light")
    assert browser.faults() == []
    for when in ("before", "after"):
        browser.run(axe)
        found = browser.driver.execute_async_script("axe.run().then(arguments[0])")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == [], when
        assert len(found["passes"]) > 10
        if when == "before":
            browser.describe(SAMPLES / "cat.jpg")
    assert browser.faults() == []


@pytest.mark.slow
def test_the_keyboard_is_enough(browser, server):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(key):
        ActionChains(browser.driver).send_keys(key).perform()

    def focused(what="id"):
        return browser.driver.switch_to.active_element.get_attribute(what)

    browser.open(server.url)
    browser.one("photo").send_keys(str(SAMPLES / "cat.jpg"))
    browser.run("document.getElementById('photo').focus()")
    reached = []
    for _ in range(3):
        press(Keys.TAB)
        reached.append(focused())
    assert reached == ["model", "recipe", "describe"]
    press(Keys.ENTER)
    browser.until("return !document.getElementById('said').hidden")
    browser.run("document.querySelector('#things button').focus()")
    press(Keys.SPACE)
    assert focused("aria-pressed") == "true"
    assert browser.run("return document.querySelectorAll('#boxes .chosen').length") == 1
    for name in ("status", "error"):
        assert browser.one(name).get_attribute("role") in ("status", "alert")


@pytest.mark.slow
def test_a_photo_can_be_dropped_and_the_record_copied(browser, server):
    browser.open(server.url)
    data = base64.b64encode((SAMPLES / "cat.jpg").read_bytes()).decode()
    browser.run(
        "const bytes = Uint8Array.from(atob(arguments[0]), (one) => one.charCodeAt(0));"
        "const data = new DataTransfer(); data.items.add(new File([bytes], 'dropped.jpg', {type: 'image/jpeg'}));"
        "document.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true}));",
        data,
    )
    browser.one("describe").click()
    browser.until("return !document.getElementById('said').hidden")
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    browser.one("copy").click()
    browser.until("return document.getElementById('status').textContent.includes('copied')")
    copied = browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == browser.text("record")
    assert '"file": "dropped.jpg"' in copied


@pytest.mark.slow
def test_a_photo_that_the_browser_cannot_show_has_its_boxes_all_the_same(browser, server, tmp_path):
    from PIL import Image

    Image.open(SAMPLES / "cat.jpg").save(tmp_path / "cat.tiff")
    browser.open(server.url, size=PHONE)
    record = browser.describe(tmp_path / "cat.tiff")
    assert record["image"]["format"] == "TIFF"
    assert browser.one("unshown").is_displayed()
    frame = browser.run("return document.getElementById('frame').getBoundingClientRect().toJSON()")
    assert frame["width"] / frame["height"] == pytest.approx(
        record["image"]["width"] / record["image"]["height"], rel=0.01
    )
    assert browser.faults() == []


@pytest.mark.slow
def test_what_goes_wrong_is_one_line(browser, server, tmp_path):
    (tmp_path / "no-photo.jpg").write_bytes(b"this is no photo at all")
    browser.open(server.url)
    browser.one("photo").send_keys(str(tmp_path / "no-photo.jpg"))
    browser.one("describe").click()
    said = browser.until("return document.getElementById('error').textContent")
    assert re.fullmatch(r"Error: .*does not hold an image.*", said)
    assert browser.run("return document.getElementById('said').hidden") is True
    browser.describe(SAMPLES / "cat.jpg")
    assert browser.text("error") == ""


@pytest.mark.slow
def test_models_that_take_photos_can_be_chosen(browser, server):
    browser.open(server.url)
    models = browser.run("return [...document.getElementById('model').options].map((one) => one.value)")
    assert models[0] == ""
    assert set(models[1:]) == {"photo-mini:latest", "seer:latest"}
    browser.run("document.getElementById('model').value = 'photo-mini:latest'")
    assert browser.describe(SAMPLES / "cat.jpg")["model"] == "photo-mini:latest"


@pytest.mark.slow
def test_an_api_key_is_asked_for_where_the_server_wants_one(browser, start_server, tmp_path):
    server = start_server(OLPIPE_API_KEY="a-secret-key")
    browser.open(server.url)
    assert browser.text("error") == "The server wants an API key. Type it above."
    key = browser.one("key")
    for typed, said in (("wrong", "The server refuses this API key. Type another one."), ("a-secret-key", "")):
        key.clear()
        key.send_keys(typed + "\t")
        browser.until(f"return document.getElementById('error').textContent === {said!r}")
    (tmp_path / "photo.jpg").write_bytes(photo(64, 48))
    assert browser.describe(tmp_path / "photo.jpg")["file"] == "photo.jpg"
