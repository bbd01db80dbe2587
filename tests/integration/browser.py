"""A headless Chromium, and what a page is asked in it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 60  # a busy machine
PHONE = (360, 780)

# Elements that a reader operates, and how each is called by what browsers tell screen readers.
NAMELESS = """
const named = (e) => e.ariaLabel || e.labels?.length || e.textContent.trim() ||
  e.getAttribute("aria-labelledby")?.split(" ").every((id) => document.getElementById(id));
return [...document.querySelectorAll("a, button, input, select, textarea, audio, section, nav, aside, [role=region]")]
  .filter((e) => !e.closest("[aria-hidden=true]") && !named(e)).map((e) => e.outerHTML.slice(0, 120));
"""
LEVELS = 'return [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((e) => Number(e.tagName[1]));'
REPEATED = """
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
return ids.filter((id, place) => ids.indexOf(id) !== place);
"""
BROKEN = """
const refs = ["aria-labelledby", "aria-controls", "aria-describedby", "aria-errormessage", "for"];
return refs.flatMap((name) => [...document.querySelectorAll(`[${name}]`)]
  .flatMap((e) => e.getAttribute(name).split(" ")).filter((id) => id && !document.getElementById(id)));
"""
UNDESCRIBED = 'return [...document.querySelectorAll("img:not([alt]), svg:not([aria-hidden]):not([role=img])")].length;'
# Texts whose contrast with what is behind them is under 4.5 (WCAG 2.2, 1.4.3), by the relative luminance of sRGB.
FAINT = """
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const linear = (value) => ((value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const colour = rgba(getComputedStyle(e).backgroundColor);
    if (colour[3] === 255) return colour;
  }
  return [255, 255, 255];
};
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement;
  const text = walker.currentNode.textContent.trim();
  if (!text || e.closest("[aria-hidden], noscript, :disabled, [hidden]") || !e.checkVisibility()) continue;
  const style = getComputedStyle(e);
  const own = luminance(rgba(e instanceof SVGElement ? style.fill : style.color));
  const other = luminance(behind(e));
  const contrast = (Math.max(own, other) + 0.05) / (Math.min(own, other) + 0.05);
  if (contrast < 4.5) faint.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
}
return faint;
"""
SHIFTED = """
const done = arguments[0];
let sum = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value;
}).observe({ type: "layout-shift", buffered: true });
setTimeout(() => done(sum), 300);
"""


class Page:
    """One window on a server."""

    def __init__(self, chrome: Chrome, address: str) -> None:
        self.chrome = chrome
        self.address = address

    @classmethod
    def anew(cls, chrome: Chrome, address: str) -> "Page":
        """Of a desk's width, with nothing remembered and no complaint so far."""
        page = cls(chrome, address)
        page.resize(1280, 900)
        page.emulate()
        page.open("/web/icon.svg")
        page.run("localStorage.clear(); sessionStorage.clear()")
        page.complaints()
        return page

    def open(self, path: str) -> None:
        self.chrome.get(self.address + path)

    def run(self, script: str, *arguments: object):  # whatever JavaScript answers
        return self.chrome.execute_script(script, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The first that matches, waited for."""
        self.until(lambda: self.all(selector), selector)
        return self.all(selector)[0]

    def until(self, holds: Callable[[], object], what: str) -> None:
        WebDriverWait(self.chrome, PATIENCE_S, poll_frequency=0.05).until(lambda _: holds(), f"{what} did not come")

    def idle(self) -> None:
        """Wait until nothing is on its way."""
        busy = (
            'return document.querySelector("[aria-busy], .skeleton") === null && document.querySelector("h1") !== null'
        )
        self.until(lambda: self.run(busy), "the end of loading")

    def texts(self, selector: str) -> list[str]:
        """What all that match say, at one moment, on one line each."""
        said = self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector)
        return [" ".join(one.split()) for one in said]

    def emulate(self, *, scheme: str = "light", motion: str = "no-preference") -> None:
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def shifted(self) -> float:
        """Cumulative layout shift since the page was opened."""
        return float(self.chrome.execute_async_script(SHIFTED))

    def complaints(self) -> list[str]:
        """What the console was told since it was last asked."""
        return [entry["message"] for entry in self.chrome.get_log("browser")]

    def faults(self) -> dict[str, object]:
        """What keeps the page from being used without eyes or a mouse; empty where nothing does."""
        levels = self.run(LEVELS)
        found = {
            "nameless": self.run(NAMELESS),
            "repeated ids": self.run(REPEATED),
            "references to nothing": self.run(BROKEN),
            "undescribed pictures": self.run(UNDESCRIBED),
            "faint texts": self.run(FAINT),
            "skipped heading levels": [pair for pair in pairwise(levels) if pair[1] > pair[0] + 1],
            "headings of the first level": [] if levels.count(1) == 1 else levels,
            "landmarks": [] if [len(self.all(one)) for one in ("main", "header.bar", "nav")] == [1, 1, 1] else ["?"],
        }
        return {what: where for what, where in found.items() if where}


@contextmanager
def chromium() -> Iterator[Chrome]:
    """A headless browser; skips the test where it is not installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("chromium and its driver are not installed: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--mute-audio"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    chrome.set_script_timeout(PATIENCE_S)
    try:
        yield chrome
    finally:
        chrome.quit()


def shown(value: object) -> str:
    """For a failing assertion."""
    return json.dumps(value, indent=1, ensure_ascii=False)
