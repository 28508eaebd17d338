"""The page of tools/explore.py in Chromium. Run as a program, it measures how soon the numbers follow a drag."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 30
"""Seconds."""
TEN = (
    "IoULoss",
    "GIoULoss",
    "DIoULoss",
    "CIoULoss",
    "EIoULoss",
    "SIoULoss",
    "NWDLoss",
    "WIoULoss",
    "MPDIoULoss",
    "GCDLoss",
)
SETTLED = """
const plot = document.querySelector('#figure .js-plotly-plot'), layout = plot && plot.layout;
return layout && document.querySelector('#figure .annotation-text') && layout.annotations.length > 1 &&
  ['target', 'pred'].every((name, place) => ['x', 'y'].every(axis => [0, 1].every(end =>
    layout.shapes[place][axis + end] === +document.getElementById(`${name}-${axis}${end + 1}`).value)));
"""
WATCH = """
window.seen = [];
addEventListener('mouseup', () => { window.released = performance.now(); }, true);
new MutationObserver(() => window.seen.push(performance.now() - window.released))
  .observe(document.getElementById('numbers'), {subtree: true, childList: true, characterData: true});
"""


@contextmanager
def served() -> Iterator[str]:
    """The address of a page."""
    from loss_explorer.serve import server

    with server("127.0.0.1", 0) as waiting:
        thread = threading.Thread(target=waiting.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{waiting.port}/"
        waiting.shutdown()
        thread.join()


@contextmanager
def browser(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """Chromium with a window of a size and nothing of a user."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        several = {"profile.default_content_setting_values.automatic_downloads": 1}
        options.add_experimental_option("prefs", {"download.default_directory": folder, **several})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        driver.folder = folder
        try:
            yield driver
        finally:
            driver.quit()


def until(driver: Any, holds: Any) -> Any:
    """What a function of the driver returns as soon as that is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, PATIENCE, poll_frequency=0.02).until(holds)


def open_page(driver: Any, address: str) -> None:
    """Load a page, and wait for its numbers and its figure."""
    driver.get(address)
    until(driver, settled)


def settled(driver: Any) -> bool:
    """Whether table, fields and figure hold the same boxes, arrows and all."""
    return bool(numbers(driver)) and driver.execute_script(SETTLED)


def shapes(driver: Any) -> list[Any]:
    """The boxes in the figure, target and prediction."""
    return driver.find_elements("css selector", "#figure .shapelayer path[data-index]")


def numbers(driver: Any) -> dict[str, list[str]]:
    """The cells of the table, by the name of their row."""
    lines = driver.execute_script(
        "return [...document.querySelectorAll('#values tbody tr')].map(row => [...row.cells].map(c => c.innerText))"
    )
    return {first: rest for first, *rest in lines}


def coordinates(driver: Any, box: str) -> list[float]:
    """What the fields of a box hold."""
    read = "return ['x1', 'y1', 'x2', 'y2'].map(side => +document.getElementById(arguments[0] + '-' + side).value)"
    return driver.execute_script(read, box)


def drag(driver: Any, box: int, right: int, down: int, start: tuple[float, float] = (0.5, 0.5)) -> None:
    """Drag a box by mouse, taken at a share of its width and height, and let it go."""
    from selenium.webdriver import ActionChains

    place = shapes(driver)[box].rect
    x, y = (
        int(place[corner] + place[side] * share)
        for corner, side, share in zip("xy", ("width", "height"), start, strict=True)
    )
    scroll = driver.execute_script("return [scrollX, scrollY]")
    hand = ActionChains(driver, duration=20)
    hand.w3c_actions.pointer_action.move_to_location(x - int(scroll[0]), y - int(scroll[1]))
    hand.click_and_hold().move_by_offset(right // 2, down // 2).move_by_offset(right - right // 2, down - down // 2)
    hand.release().perform()


def latency(times: int) -> list[float]:
    """Milliseconds from letting go of a box to the last change of the numbers, of ten losses."""
    found = []
    with served() as address, browser() as driver:
        open_page(driver, address + "?" + "&".join(f"loss={name}" for name in TEN))
        driver.execute_script(WATCH)
        for turn in range(times + 2):
            driver.execute_script("window.seen = []")
            drag(driver, 1, 9 if turn % 2 else -9, 4 if turn % 4 < 2 else -4)
            until(driver, lambda driver: driver.execute_script("return window.seen.length") and settled(driver))
            found.append(driver.execute_script("return window.seen.at(-1)"))
    return found[2:]


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
    measured = latency(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    least, most = min(measured), max(measured)
    print(f"{len(measured)} drags: median {statistics.median(measured):.0f} ms, from {least:.0f} to {most:.0f} ms")
