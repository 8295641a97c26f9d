"""A headless browser for tests of pages, and what a person does with it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium with its chromedriver on this machine"
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
)
PATIENCE = 15
"""Seconds that a page has for what it does by and by; a busy machine needs them."""


@contextmanager
def headless(user_data: Path, reachable: str = "") -> Iterator:
    """A browser that reaches no machine but ``reachable``, and keeps what pages complain about."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    rules = "MAP * ~NOTFOUND" + (f", EXCLUDE {reachable}" if reachable else "")
    for flag in (*FLAGS, f"--host-resolver-rules={rules}", f"--user-data-dir={user_data}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def open_page(browser, address: str, width: int = 1400, height: int = 900, mobile: bool = False):
    """The browser, at this address, with an empty list of complaints."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
    )
    browser.get_log("browser")
    browser.get(address)
    return browser


def ask(page, script: str, *arguments):
    return page.execute_script(f"return {script}", *arguments)


def eventually(page, script: str, *arguments, seconds: float = PATIENCE) -> bool:
    """Whether a condition becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ask(page, script, *arguments):
            return True
        time.sleep(0.02)
    return False


def press(page, *keys: str) -> None:
    """Keys one after another: letters, or names like ARROW_UP."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    for key in keys:
        ActionChains(page).send_keys(getattr(Keys, key, key)).perform()


def complaints(page) -> list:
    return [entry for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
