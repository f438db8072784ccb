"""The page of a server in a real browser: Chromium without a window, which no test lets out of this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

WITHIN_S = 120.0
PHONE, DESK = (360, 780), (1280, 900)

# What overlaps, stands outside the window, or is wider than it
FACTS = """
const shown = [...document.querySelectorAll("h1,h2,p,label,select,input,button,pre,table,#frame")]
  .filter((one) => one.checkVisibility() && (one.textContent || one.matches("input,select,#frame")));
const inside = (outer, inner) => outer.contains(inner) || inner.contains(outer);
const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
const name = (one) => one.id || one.tagName + ":" + one.textContent.slice(0, 20);
const faults = [];
shown.forEach((one, at) => {
  const place = one.getBoundingClientRect();
  if (place.left < -1 || place.right > innerWidth + 1) faults.push(`${name(one)} is outside the window`);
  for (const other of shown.slice(at + 1))
    if (!inside(one, other) && overlap(place, other.getBoundingClientRect()))
      faults.push(`${name(one)} overlaps ${name(other)}`);
});
const page = document.documentElement;
if (page.scrollWidth > innerWidth) faults.push(`the page is ${page.scrollWidth} wide, the window ${innerWidth}`);
const frame = document.getElementById("frame").getBoundingClientRect();
for (const box of document.querySelectorAll("#boxes .over")) {
  const place = box.getBoundingClientRect();
  if (place.left < frame.left - 1 || place.top < frame.top - 1
      || place.right > frame.right + 1 || place.bottom > frame.bottom + 1 || !(place.width > 0 && place.height > 0))
    faults.push("a box is not inside the photo");
}
return faults;
"""


def axe_core(folder: Path) -> str:
    """Return the text of axe-core, which checks whether everybody can use a page. It is installed into a folder."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, which has axe-core")
    install = [npm, "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", "axe-core@4"]
    ended = subprocess.run(install, capture_output=True, text=True)
    if ended.returncode:
        pytest.skip(f"npm cannot bring axe-core: {ended.stderr.strip().splitlines()[-1:]}")
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


class Browser:
    """A browser that shows the page of a server."""

    def __init__(self) -> None:
        """Start it; the test is skipped where it is not installed."""
        from selenium import webdriver

        chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or chromedriver is None:
            pytest.skip("Chromium is not installed: `apt-get install chromium chromium-driver`")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for switch in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-background-networking"):
            options.add_argument(f"--{switch}")
        options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    def open(self, url: str, *, size: tuple[int, int] = DESK, scheme: str = "light") -> None:
        """Show the page of a server in a window of a size, in light or dark colours."""
        self.show(url, size=size, scheme=scheme)
        self.until("return document.getElementById('recipe').length || document.getElementById('error').textContent")

    def show(self, url: str, *, size: tuple[int, int] = DESK, scheme: str = "light") -> None:
        """Show any page."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})
        self.driver.get_log("browser")
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str) -> Any:
        """Wait until a script returns something, and return that."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, WITHIN_S).until(lambda driver: driver.execute_script(script))

    def one(self, name: str) -> Any:
        """Return the element that has an id."""
        return self.driver.find_element("id", name)

    def text(self, name: str) -> str:
        """Return the text of the element that has an id."""
        return str(self.run("return document.getElementById(arguments[0]).textContent", name))

    def describe(self, photo: Path) -> dict[str, Any]:
        """Choose a photo, have it described, and return the record that the page shows."""
        self.one("photo").send_keys(str(photo))
        self.until("return !document.getElementById('describe').disabled")
        self.one("describe").click()
        self.until("return document.getElementById('stop').hidden")
        return dict(json.loads(self.text("record")))

    def faults(self) -> list[str]:
        """Return what is wrong with the layout."""
        return list(self.run(FACTS))

    def complaints(self) -> list[str]:
        """Return what the browser complained of since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def asked(self) -> set[str]:
        """Return the origins that the page asked for anything."""
        return set(self.run("return performance.getEntriesByType('resource').map((one) => new URL(one.name).origin)"))
