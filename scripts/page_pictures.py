"""Takes the pictures of docs/page.md from a running page: ``scripts/page_pictures.py
http://127.0.0.1:8000 [PHOTO]``.

The page is started beforehand, with a gallery: ``fittingroom serve WEIGHTS --data sample``. Needs
    Chromium with its
driver, and selenium. PHOTO is uploaded as a person for the pictures of the mask, which are left as
they are without; the result is of the gallery's second person in its fourth garment.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

OUT = Path(__file__).parents[1] / "docs/pictures"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
)
SEEN = "!document.getElementById('before').hidden && document.getElementById('working').hidden"


def open_browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for flag in (*FLAGS, f"--user-data-dir={tempfile.mkdtemp()}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def until(browser, script: str) -> None:
    end = time.monotonic() + 60
    while not browser.execute_script(f"return {script}"):
        if time.monotonic() > end:
            raise SystemExit(f"{script} never came true")
        time.sleep(0.05)


def shoot(browser, name: str, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(0.5)
    image = cv2.imdecode(np.frombuffer(browser.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(OUT / name), image, [cv2.IMWRITE_JPEG_QUALITY, 82])


def main(address: str, photo: str | None = None) -> None:
    browser = open_browser()
    shape = {"width": 1280, "height": 860, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    browser.get(address)
    until(browser, "document.body.dataset.ready === 'yes'")

    def choose(what: str, at: int) -> None:
        browser.find_elements("css selector", f"#{what}-gallery .choice:not(.upload)")[at].click()

    if photo:
        browser.find_element("id", "person-file").send_keys(str(Path(photo).resolve()))
        until(browser, SEEN)
        choose("garment", 2)
        browser.find_element("css selector", "[name=view][value=mask]").click()
        shoot(browser, "page-mask.jpg", 1280, 860)
        shoot(browser, "page-phone.jpg", 390, 844)
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    choose("person", 2 if photo else 1)  # an upload comes first in its gallery
    until(browser, SEEN)
    choose("garment", 3)
    browser.find_element("id", "dress").click()
    until(browser, "!document.getElementById('after').hidden")
    shoot(browser, "page-result.jpg", 1280, 860)
    browser.quit()


if __name__ == "__main__":
    main(*sys.argv[1:3])
