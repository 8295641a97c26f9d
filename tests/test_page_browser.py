"""The page, used as a person uses it: in a real browser, by mouse and by keyboard, wide and
narrow."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from browser_kit import ask, complaints, eventually, headless, needs_browser, open_page, press
from page_server import serving, tiny_studio
from PIL import Image
from test_page import find_pose

from model.page.studio import Studio

pytestmark = needs_browser
DATA = Path(__file__).parent / "data"
LOADED = "document.body.dataset.ready === 'yes'"
SEEN = "!document.getElementById('before').hidden && document.getElementById('working').hidden"
DRESSED = (
    "!document.getElementById('after').hidden && document.getElementById('after').naturalWidth > 0"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with headless(tmp_path_factory.mktemp("user"), reachable="127.0.0.1") as driver:
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior",
            {"behavior": "allow", "downloadPath": str(tmp_path_factory.mktemp("downloads"))},
        )
        yield driver


@pytest.fixture(scope="module")
def studio(sample_dataset) -> Studio:
    return tiny_studio(sample_dataset, find_pose)


@pytest.fixture(scope="module")
def address(studio):
    with serving(studio, capacity=2) as place:
        yield place


@pytest.fixture
def page(browser, address):
    return visit(browser, address)


def visit(browser, address: str, width: int = 1400, height: int = 900):
    open_page(browser, address, width, height, mobile=width < 600)
    assert eventually(browser, LOADED)
    return browser


def click(page, kind: str, at: int) -> None:
    page.find_elements("css selector", f"#{kind}-gallery .choice:not(.upload)")[at].click()


def text(page, name: str) -> str:
    return page.find_element("id", name).text


def dress(page) -> None:
    click(page, "person", 0)
    assert eventually(page, SEEN)
    click(page, "garment", 1)
    page.find_element("id", "dress").click()
    assert eventually(page, DRESSED), text(page, "message")


def test_person_is_dressed_and_compared(page):
    assert not page.find_element("id", "dress").is_enabled()
    dress(page)
    assert text(page, "message").startswith("Done in")
    assert (
        ask(page, "getComputedStyle(document.getElementById('after')).clipPath")
        == "inset(0px 0px 0px 50%)"
    )
    page.execute_script(
        "const s = document.getElementById('slider'); s.value = 20;"
        "s.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert (
        ask(page, "getComputedStyle(document.getElementById('after')).clipPath")
        == "inset(0px 0px 0px 20%)"
    )
    assert complaints(page) == []


def test_slider_follows_the_mouse(page):
    from selenium.webdriver.common.action_chains import ActionChains

    dress(page)
    slider = page.find_element("id", "slider")
    ActionChains(page).move_to_element_with_offset(
        slider, -int(slider.size["width"] * 0.25), 0
    ).click().perform()
    assert 15 <= int(slider.get_property("value")) <= 35


def test_result_is_downloaded_under_a_name_that_tells_what_it_is(page):
    dress(page)
    link = page.find_element("id", "download")
    assert link.is_displayed() and link.get_attribute("download") == "dressed-048392-048392.png"
    width = ask(page, "document.getElementById('after').naturalWidth")
    assert link.get_attribute("href").startswith("data:image/png") and width == 192


def test_what_lies_behind_a_result_is_seen_on_request(page):
    warped = page.find_element("css selector", "[name=view][value=warped]")
    assert not warped.is_enabled()
    dress(page)
    seen = set()
    for view in ("warped", "weight"):
        page.find_element("css selector", f"[name=view][value={view}]").click()
        seen.add(ask(page, "document.getElementById('before').src"))
        assert ask(page, "document.getElementById('after').hidden")
    assert len(seen) == 2
    assert text(page, "story").startswith("Weights: ")


def test_last_results_stay_to_be_compared_and_the_next_choice_can_be_dressed(page):
    dress(page)
    first = ask(page, "document.getElementById('after').src")
    click(page, "garment", 0)
    page.find_element("id", "dress").click()
    assert eventually(page, "document.querySelectorAll('#shelf button').length === 2")
    assert eventually(page, DRESSED)
    second = ask(page, "document.getElementById('after').src")
    page.find_elements("css selector", "#shelf button")[1].click()
    assert ask(page, "document.getElementById('after').src") == first != second
    assert page.find_element("id", "dress").is_enabled()
    assert "048393" in text(page, "message") or "048392" in text(page, "message")
    assert complaints(page) == []


def test_layers_and_styles_change_what_is_seen(page):
    click(page, "person", 1)
    assert eventually(page, SEEN)
    seen = {}
    for view in ("keypoints", "mask", "agnostic"):
        page.find_element("css selector", f"[name=view][value={view}]").click()
        seen[view] = ask(page, "document.getElementById('before').src")
    assert len(set(seen.values())) == 3
    assert "mask" in ask(
        page,
        "document.querySelector('[name=view][value=mask]').click() || "
        "document.getElementById('before').alt",
    )
    page.find_element("css selector", "[name=style][value=loose]").click()
    assert eventually(page, "document.getElementById('before').src !== arguments[0]", seen["mask"])


def test_other_category_shows_other_people_and_keeps_the_chosen_one(page):
    click(page, "person", 0)
    assert eventually(page, SEEN)
    page.find_element("css selector", "[name=category][value=dresses]").click()
    assert eventually(
        page, "document.querySelector('#garment-gallery img')?.src.includes('/dresses/')"
    )
    assert "person 048392" in text(page, "chosen")
    click(page, "garment", 0)
    page.find_element("id", "dress").click()
    assert eventually(page, DRESSED)


def test_own_photo_is_dressed_and_its_limits_are_told(page):
    page.find_element("id", "person-file").send_keys(str(DATA / "photo.jpg"))
    assert eventually(page, SEEN), text(page, "message")
    assert "guessed" in text(page, "notes")
    click(page, "garment", 0)
    page.find_element("id", "dress").click()
    assert eventually(page, DRESSED)
    assert "photo.jpg" in text(page, "chosen")


@pytest.mark.parametrize("value, words", [(0, "Nobody was found"), (255, "Crop the photo")])
def test_unusable_photo_is_refused_in_words_and_not_kept(page, tmp_path, value, words):
    Image.fromarray(np.full((512, 384, 3), value, np.uint8)).save(tmp_path / "x.png")
    page.find_element("id", "person-file").send_keys(str(tmp_path / "x.png"))
    assert eventually(page, f"document.getElementById('message').textContent.includes('{words}')")
    assert ask(page, "document.querySelectorAll('#person-gallery [value=own]').length") == 0
    assert not page.find_element("id", "dress").is_enabled()


def test_other_kind_of_file_is_refused_before_it_is_sent(page, tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    page.find_element("id", "garment-file").send_keys(str(tmp_path / "a.gif"))
    assert "Only JPEG and PNG" in text(page, "message")


def test_full_room_is_told_and_tried_again(page, studio):
    gate, original = threading.Event(), studio.dress
    studio.dress = lambda order: gate.wait(20) and original(order)
    try:
        click(page, "person", 0)
        assert eventually(page, SEEN)
        click(page, "garment", 1)
        page.execute_script(
            "const f = () => { const d = new FormData(); d.set('category', 'upper_body');"
            "d.set('person_id', 'upper_body/048392'); d.set('garment_id', 'upper_body/048393'); "
            "return d; };"
            "for (let i = 0; i < 2; i++) fetch('/api/dress', {method: 'POST', body: f()})"
        )
        assert eventually(
            page, "fetch('/api/status').then((a) => a.json()).then((s) => s.waiting === 2)"
        )
        page.find_element("id", "dress").click()
        assert eventually(
            page, "document.getElementById('working-text').textContent.includes('full')"
        )
        gate.set()
        assert eventually(page, DRESSED, seconds=20)
    finally:
        gate.set()
        studio.dress = original


def test_everything_works_by_keyboard_alone(page):
    def until_at(selector: str) -> None:
        for _ in range(40):
            press(page, "TAB")
            if ask(page, f"document.activeElement.matches('{selector}')"):
                return
        raise AssertionError(f"TAB never came to {selector}")

    page.find_element("tag name", "body").click()
    until_at("[name=category]")
    press(page, "ARROW_RIGHT")
    assert ask(page, "document.querySelector('[name=category]:checked').value") == "lower_body"
    assert eventually(
        page, "document.querySelector('#person-gallery img')?.src.includes('lower_body')"
    )
    until_at("[name=person]")
    press(page, "SPACE")
    assert eventually(page, SEEN)
    until_at("[name=garment]")
    press(page, "SPACE")
    assert ask(page, "document.querySelectorAll('[name=garment]:checked').length") == 1
    until_at("#dress")
    press(page, "ENTER")
    assert eventually(page, DRESSED)
    page.find_element("tag name", "body").click()
    until_at("#slider")
    press(page, "ARROW_LEFT", "ARROW_LEFT")
    assert ask(page, "document.getElementById('slider').value") == "48"


def test_everything_has_a_name_for_those_who_cannot_see(page):
    dress(page)
    unnamed = ask(
        page,
        "[...document.querySelectorAll('button, input, a')].filter((e) => "
        "!(e.getAttribute('aria-label') || e.closest('label')?.textContent.trim() || "
        "e.textContent.trim())).map((e) => e.outerHTML)",
    )
    assert unnamed == []
    assert ask(page, "[...document.querySelectorAll('img')].every((i) => i.hasAttribute('alt'))")
    assert ask(page, "document.getElementById('after').alt").startswith("After")
    assert ask(page, "document.getElementById('message').getAttribute('aria-live')") == "polite"


@pytest.mark.parametrize("width", [360, 768, 1100, 1920])
def test_page_fits_every_width(browser, address, width):
    page = visit(browser, address, width)
    dress(page)
    assert ask(page, "document.documentElement.scrollWidth") <= width
    boxes = ask(
        page,
        "[...document.querySelectorAll('.panel, .picture, .bar')].map((e) => "
        "e.getBoundingClientRect())"
        ".map((b) => [b.left, b.right, b.width, b.height])",
    )
    assert all(
        left >= 0 and right <= width + 1 and w > 100 and h > 30 for left, right, w, h in boxes
    )
    tiles = ask(
        page,
        "[...document.querySelectorAll('.choice')].map((e) => e.getBoundingClientRect())"
        ".map((b) => b.height / b.width)",
    )
    assert all(abs(ratio - 4 / 3) < 0.05 for ratio in tiles), "galleries squeeze their pictures"


def test_page_asks_nobody_else(page, address):
    dress(page)
    asked = ask(page, "performance.getEntriesByType('resource').map((e) => e.name)")
    assert asked and all(name.startswith((address, "data:", "blob:")) for name in asked)


def test_api_page_lists_every_address(browser, address):
    page = visit(browser, f"{address}/api/docs")
    assert "/api/dress" in page.find_element("id", "docs").text
    assert complaints(page) == []
