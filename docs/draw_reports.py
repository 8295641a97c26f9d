"""Takes the pictures of docs/inspect.md: reports on synthetic people, in a browser. Needs Chromium
with its driver.

python docs/draw_reports.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from selenium import webdriver

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from page_pictures import open_browser, until  # noqa: E402

PAIRS, SEED, SIZE, JPEG_QUALITY = 8, 23, "1024x768", 82
LOADED = "[...document.images].every((image) => image.complete)"


def command(*words: object) -> None:
    subprocess.run(
        [sys.executable, HERE.parent / "cli.py", *map(str, words)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def shoot(
    browser: webdriver.Chrome, name: str, page: Path, height: int, person: str | None = None
) -> None:
    """Stores what the page shows, from its top or one person in large with the keypoints, 1200
    pixels wide."""
    shape = {"width": 1440, "height": round(1.2 * height), "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    browser.get(page.as_uri())
    if person:
        browser.execute_script("lookAt(shown.findIndex((row) => row.key === arguments[0]))", person)
        browser.switch_to.active_element.send_keys("7")
    until(browser, LOADED)
    time.sleep(0.5)  # for pictures to be painted
    image = cv2.imdecode(np.frombuffer(browser.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
    image = cv2.resize(image, (1200, height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(HERE / "pictures" / name), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sample, one, two = (Path(folder) / name for name in ("sample", "one.html", "two.html"))
        command("make-sample", sample, "--pairs", PAIRS, "--seed", SEED, "--size", SIZE)
        command("inspect-mask", sample, "--size", SIZE, "--out", one)
        command(
            "inspect-mask",
            sample,
            "--size",
            SIZE,
            "--style",
            "tight",
            "--against",
            "loose",
            "--out",
            two,
        )
        browser = open_browser()
        try:
            shoot(browser, "inspect-report.jpg", one, 1000)
            shoot(browser, "inspect-person.jpg", one, 750, "dresses/020716")
            shoot(browser, "inspect-styles.jpg", two, 717, "upper_body/000005")
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
