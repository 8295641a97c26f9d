"""The report, used as a person uses it: in a real browser, opened as a file."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser_kit import ask, complaints, eventually, headless, needs_browser, open_page, press
from tiny_dresscode import write_dataset

from pipeline.base.labels import Category
from pipeline.dataset.identity import Identity
from pipeline.inspect.inspection import Question, Verdict, iou, judge_all
from pipeline.inspect.report import About, build_page, write_report
from pipeline.masks.person import person_masks
from pipeline.people.open import open_people

pytestmark = needs_browser
BROKEN, BARE = "lower_body/013564", "upper_body/000001"
AT = "document.activeElement.dataset.index === arguments[0]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with headless(tmp_path_factory.mktemp("user")) as driver:
        yield driver


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Nine people; one has no photo and no keypoints, one no DensePose."""
    root = write_dataset(tmp_path_factory.mktemp("data"), train=3, test=1)
    (root / "lower_body/images/013564_0.jpg").unlink()
    (root / "lower_body/keypoints/013564_2.json").write_text("{")
    (root / "upper_body/dense/000001_5.png").unlink()
    return root


@pytest.fixture(scope="module")
def compared(dataset, tmp_path_factory) -> Path:
    return report(
        dataset, tmp_path_factory.mktemp("compared") / "report.html", Question("tight", "loose")
    )


@pytest.fixture(scope="module")
def single(dataset, tmp_path_factory) -> Path:
    return report(dataset, tmp_path_factory.mktemp("single") / "report.html", Question())


def report(dataset: Path, page: Path, question: Question) -> Path:
    people = open_people(dataset, size_hw=(256, 192))
    write_report(
        page, people, judge_all(people, question), question, About("Masks", "nine <b>people</b>")
    )
    return page


@pytest.fixture
def page(browser, single):
    return visit(browser, single)


def visit(browser, path: Path, width: int = 1400, height: int = 900):
    return open_page(browser, path.as_uri(), width, height)


def choose(page, field: str, value: str) -> None:
    page.execute_script(
        "const f = document.getElementById(arguments[0]); f.value = arguments[1];"
        "f.dispatchEvent(new Event('input', {bubbles: true}));",
        field,
        value,
    )


def keys_shown(page) -> list[str]:
    """Everybody in the list, in its order, whether drawn or not."""
    return ask(page, "shown.map((row) => row.key)")


def drawn(page) -> list[str]:
    return ask(
        page,
        "[...document.querySelectorAll('.row')].sort((a, b) => a.dataset.index - b.dataset.index)"
        ".map((row) => row.getAttribute('aria-label').split(',')[0])",
    )


def test_page_shows_people_with_all_their_pictures(page):
    assert drawn(page)[0] == "upper_body/000000"
    panels = ask(
        page,
        "[...document.querySelector('.row').querySelectorAll('figcaption')].map((c) => "
        "c.textContent)",
    )
    assert panels == [
        "Photo",
        "Label map",
        "DensePose",
        "Keypoints",
        "Overlay",
        "Agnostic",
        "Garment",
    ]
    assert eventually(
        page,
        "[...document.querySelectorAll('.row img')].every((i) => i.complete && i.naturalWidth > 0)",
    )
    assert complaints(page) == []


def test_page_asks_the_network_for_nothing(page, single):
    asked = ask(
        page,
        "performance.getEntriesByType('resource').map((e) => e.name)"
        ".filter((name) => !name.startsWith('data:'))",
    )
    assert asked == []
    text = single.read_text()
    assert not [word for word in ("http://", "https://", "@import", "//cdn") if word in text]


def test_title_and_description_are_text_not_markup(page):
    assert ask(page, "document.getElementById('about').textContent") == "nine <b>people</b>"


def test_pixels_on_screen_are_those_of_the_mask(page, dataset):
    """The agnostic picture is black inside the mask and the photo elsewhere: read from a
    screenshot."""
    mask = person_masks(open_people(dataset, size_hw=(256, 192)).load(0))["standard"]
    assert eventually(page, "[...document.querySelectorAll('.row img')].every((i) => i.complete)")
    page.execute_script("document.querySelector('.row').scrollIntoView({block: 'end'})")
    pictures = {}
    for name in ("Photo", "Agnostic"):
        stack = page.find_element("css selector", f".row [data-panel={name}] .stack")
        pictures[name] = cv2.imdecode(
            np.frombuffer(stack.screenshot_as_png, np.uint8), cv2.IMREAD_COLOR
        ).astype(int)
    height, width = (min(p.shape[i] for p in pictures.values()) for i in (0, 1))
    photo, agnostic = (pictures[n][:height, :width] for n in ("Photo", "Agnostic"))
    black = agnostic.max(axis=2) < 8
    expected = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA) > 0
    assert iou(black, expected) > 0.93
    edge = cv2.dilate(black.astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(photo - agnostic)[~edge].mean() < 3
    assert photo[black].mean() > 60


def test_person_without_sources_is_shown_with_the_reason(page):
    choose(page, "f-id", BROKEN)
    row = page.find_element("css selector", ".row")
    assert "013564_2.json" in row.text and "013564_0.jpg" in row.text
    assert [e.text for e in row.find_elements("css selector", ".none")] == [
        "no photo",
        "no keypoints",
        "no mask",
        "no picture",
    ]


def test_filters_narrow_the_list(page):
    everyone = keys_shown(page)
    assert len(everyone) == 9
    choose(page, "f-category", str(Category.DRESSES.index))
    assert keys_shown(page) == [k for k in everyone if k.startswith("dresses/")]
    page.find_element("id", "f-reset").click()
    choose(page, "f-id", "000001 020714")
    assert keys_shown(page) == ["upper_body/000001", "dresses/020714"]
    page.find_element("id", "f-reset").click()
    choose(page, "f-missing", "DensePose")
    assert keys_shown(page) == [BARE]
    choose(page, "f-missing", "")
    choose(page, "f-show", "broken")
    assert keys_shown(page) == [BROKEN]
    choose(page, "f-category", str(Category.DRESSES.index))
    assert keys_shown(page) == [] and page.find_element("id", "nobody").is_displayed()


def test_filter_by_score_uses_the_units_on_screen(page):
    areas = ask(page, "people.map((row) => [row.key, row.scores[scoreIndex.area]])")
    limit = sorted(a for _, a in areas if a is not None)[4]
    choose(page, "f-score", "area")
    choose(page, "f-value", str(100 * limit))
    assert ask(page, "document.getElementById('f-unit').textContent") == "%"
    assert keys_shown(page) == [k for k, a in areas if a is not None and a >= limit - 1e-9]
    choose(page, "f-op", "le")
    assert keys_shown(page) == [k for k, a in areas if a is not None and a <= limit + 1e-9]


def test_order_follows_a_score_with_unknown_values_last(page):
    areas = dict(ask(page, "people.map((row) => [row.key, row.scores[scoreIndex.area]])"))
    choose(page, "f-sort", "area")
    order = keys_shown(page)
    assert order[-1] == BROKEN
    assert [areas[k] for k in order[:-1]] == sorted(
        (a for a in areas.values() if a is not None), reverse=True
    )
    page.find_element("id", "f-turn").click()
    assert keys_shown(page)[-1] == BROKEN
    assert [areas[k] for k in keys_shown(page)[:-1]] == sorted(
        a for a in areas.values() if a is not None
    )


def test_trouble_puts_people_without_a_mask_first(page):
    choose(page, "f-sort", "trouble")
    assert keys_shown(page)[0] == BROKEN
    assert ask(page, "shown.every((row, i) => i === 0 || row.trouble <= shown[i - 1].trouble)")


def test_bar_of_a_histogram_leads_to_its_people(page):
    page.execute_script(
        "document.querySelector('.bin').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    count = int(
        ask(page, "document.querySelector('.bin').getAttribute('aria-label').split(' ')[0]")
    )
    assert len(keys_shown(page)) == count > 0
    page.find_element("css selector", "#chips button").click()
    assert ask(page, "filters.range") is None


def test_summary_counts_everybody_also_where_few_are_shown(browser, dataset, tmp_path):
    people, question = open_people(dataset, size_hw=(256, 192)), Question()
    verdicts = judge_all(people, question)
    write_report(
        tmp_path / "worst.html", people, verdicts[:2], question, About("", ""), everyone=verdicts
    )
    page = visit(browser, tmp_path / "worst.html")
    assert len(keys_shown(page)) == 2
    figures = ask(
        page, "[...document.querySelectorAll('.card')].map((c) => c.querySelector('b').textContent)"
    )
    assert figures == ["3", "3", "3"]
    assert complaints(page) == []


def test_keys_walk_through_people_and_open_them(page):
    page.find_element("tag name", "h1").click()
    press(page, "j", "j", "ARROW_UP", "ARROW_DOWN")
    assert eventually(page, AT, "1")
    press(page, "ENTER")
    assert ask(page, "document.getElementById('viewer').open")
    assert page.find_element("id", "v-title").text == "upper_body/000001"
    press(page, "ARROW_RIGHT")
    assert page.find_element("id", "v-title").text == "upper_body/000002"
    press(page, "ESCAPE")
    assert not ask(page, "document.getElementById('viewer').open")
    assert eventually(page, AT, "2")
    press(page, "END")
    assert eventually(page, AT, "8")
    assert page.find_element("css selector", "[aria-current=true]").is_displayed()


def test_slash_searches_and_letters_stay_letters_there(page):
    page.find_element("tag name", "h1").click()
    press(page, "/", "d", "r", "j")
    assert ask(page, "document.activeElement.id") == "f-id"
    assert ask(page, "document.getElementById('f-id').value") == "drj"


def test_layers_are_switched_and_faded_everywhere(page):
    opacity = "getComputedStyle(document.querySelector('.row .live .l-' + arguments[0])).opacity"
    assert [ask(page, opacity, name) for name in ("mask", "dense", "problems")] == ["0.5", "0", "1"]
    press(page, "4", "3")
    assert [ask(page, opacity, name) for name in ("mask", "dense")] == ["0", "0.6"]
    page.execute_script(
        "const s = document.querySelector('input[type=range][data-layer=mask]'); s.value = 0.25;"
        "s.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert ask(page, opacity, "mask") == "0.25"
    assert ask(
        page,
        "[...document.querySelectorAll('[type=checkbox][data-layer=mask]')].every((box) => "
        "box.checked)",
    )


def test_two_styles_stand_side_by_side_with_their_difference(browser, compared):
    page = visit(browser, compared)
    panels = ask(
        page,
        "[...document.querySelector('.row').querySelectorAll('figcaption')].map((c) => "
        "c.textContent)",
    )
    overlap = ask(page, "people[0].scores[scoreIndex.iou]")
    assert 0.2 < overlap < 1
    assert panels[4:7] == ["Overlay, tight", "Overlay, loose", f"Difference, IoU {overlap:.3f}"]
    page.find_element("css selector", ".row [data-panel=Difference]").click()
    large = ask(
        page, "[...document.querySelectorAll('#v-stage figcaption')].map((c) => c.textContent)"
    )
    assert large[:3] == panels[4:7]
    assert complaints(page) == []


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_page_fits_every_width(browser, single, width):
    page = visit(browser, single, width)
    page.execute_script("document.getElementById('list').scrollIntoView(); drawVisible()")
    assert ask(page, "document.documentElement.scrollWidth") <= width
    ordered = sorted(
        ask(
            page,
            "[...document.querySelectorAll('.row')].map((row) => row.getBoundingClientRect())"
            ".map((box) => [box.top, box.bottom])",
        )
    )
    assert all(after[0] >= before[1] for before, after in zip(ordered, ordered[1:]))
    picture = ask(page, "document.querySelector('.stack').getBoundingClientRect().height")
    assert picture > 100
    assert ask(
        page,
        "[...document.querySelectorAll('.panels')].every((panels) => "
        "panels.getBoundingClientRect().bottom"
        " <= panels.closest('.row').getBoundingClientRect().bottom)",
    )


def test_on_a_phone_no_line_is_cut_and_a_further_picture_looks_in(browser, single):
    page = visit(browser, single, 390)
    page.execute_script("document.getElementById('list').scrollIntoView(); drawVisible()")
    cut = ask(
        page,
        "[...document.querySelectorAll('.facts > *')].filter("
        "e => e.clientHeight + 1 < e.scrollHeight).length",
    )
    third = ask(
        page,
        "document.querySelectorAll('.row .panels')[0].children[2].getBoundingClientRect().left",
    )
    assert cut == 0 and third < 370


def test_everything_has_a_name_for_those_who_cannot_see(page):
    unnamed = ask(
        page,
        "[...document.querySelectorAll('button, input, select, [role=img], [role=button]')]"
        ".filter((e) => !(e.getAttribute('aria-label') || e.closest('label') || "
        "e.matches('button') && e.textContent.trim())).map((e) => e.outerHTML.slice(0, 80))",
    )
    assert unnamed == []
    assert ask(page, "[...document.querySelectorAll('img')].every((i) => i.hasAttribute('alt'))")
    assert "leak" in ask(
        page,
        "document.querySelector('.row [data-panel=Overlay] .stack').getAttribute('aria-label')",
    )


def test_theme_can_be_turned(page):
    colour = "getComputedStyle(document.body).backgroundColor"
    before = ask(page, colour)
    page.find_element("id", "theme").click()
    assert ask(page, colour) != before


PEOPLE = 5400


@pytest.fixture(scope="module")
def crowd(dataset, tmp_path_factory) -> Path:
    """A report on 5,400 people, who share a few pictures beside the page."""
    folder = tmp_path_factory.mktemp("crowd")
    people = open_people(dataset, size_hw=(256, 192))
    question = Question()
    verdicts = judge_all(people, question)
    write_report(folder / "few.html", people, verdicts, question, About("Few", ""))
    text = (folder / "few.html").read_text()
    rows = json.loads(text.split('id="data">')[1].split("</script>")[0])["people"]
    (folder / "crowd_files").mkdir()
    for i, row in enumerate(rows):
        for kind, ending in (("p", "jpg"), ("l", "png")):
            if row[kind]:
                (folder / f"crowd_files/{i}.{ending}").write_bytes(
                    base64.b64decode(row[kind].split(",")[1])
                )
                row[kind] = f"crowd_files/{i}.{ending}"
    by_chance, many, found = random.Random(0), [], []
    for i in range(PEOPLE):
        category = list(Category)[i * 3 // PEOPLE]
        template = verdicts[i % len(verdicts)]
        scores = {n: v * by_chance.uniform(0.9, 1) for n, v in template.scores.items()}
        many.append({k: rows[i % len(rows)][k] for k in "pljadxe"})
        found.append(
            replace(
                template,
                row=i,
                who=Identity(category, "train", f"{i:06}", f"{i:06}"),
                scores=scores,
            )
        )
    assert isinstance(found[0], Verdict)
    (folder / "crowd.html").write_text(
        build_page(many, found, question, (256, 192), About("Crowd", ""))
    )
    return folder / "crowd.html"


def test_of_thousands_of_people_only_those_in_view_are_drawn(browser, crowd):
    page = visit(browser, crowd)
    assert len(keys_shown(page)) == PEOPLE
    elements = "document.querySelectorAll('#list *').length"
    for action in (
        "",
        "document.getElementById('f-id').value = '0001'; apply();",
        "reset(); document.getElementById('f-sort').value = 'area'; apply();",
        "for (let i = 0; i < 50; i++) { scrollTo(0, i * 20000); drawVisible(); }",
    ):
        page.execute_script(action)
        assert 0 < ask(page, "document.querySelectorAll('.row').length") < 20
        assert ask(page, elements) < 3000
    press(page, "END")
    assert eventually(
        page, "document.activeElement.getAttribute('aria-posinset') === arguments[0]", str(PEOPLE)
    )
    assert eventually(
        page,
        "[...document.querySelectorAll('.row img')].every((i) => i.complete && i.naturalWidth > 0)",
    )
    asked = ask(page, "new Set(performance.getEntriesByType('resource').map((e) => e.name)).size")
    assert asked <= 20


def test_only_pictures_in_view_are_loaded(browser, dataset, tmp_path, monkeypatch):
    from pipeline.inspect import report as module

    monkeypatch.setattr(module, "EMBEDDED", 2)
    page = visit(browser, report(dataset, tmp_path / "beside.html", Question()), height=400)
    assert (tmp_path / "beside_files/upper_body").is_dir()
    files = len(list((tmp_path / "beside_files").rglob("*.*")))
    assert files == 2 * 9
    assert eventually(
        page,
        "[...document.querySelectorAll('.row img')].every((i) => i.complete && i.naturalWidth > 0)",
    )
    loaded = ask(page, "new Set([...document.querySelectorAll('img')].map((i) => i.src)).size")
    assert 0 < loaded < files
    assert complaints(page) == []
