"""Overlays, contact sheets, tiles and the files of the report."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from tiny_dresscode import write_dataset

from pipeline.base.errors import DataError
from pipeline.base.labels import Atr, Category, Joint
from pipeline.inspect import overlays, report, report_pictures
from pipeline.inspect.inspection import Question, judge_all
from pipeline.inspect.overlays import write_picture
from pipeline.inspect.report import About, make_sheet, write_report
from pipeline.inspect.thresholds import LIMITS, concern, tell
from pipeline.people.open import open_people

SIZE = (256, 192)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("report"), train=2, test=1)


@pytest.fixture(scope="module")
def people(dataset):
    return open_people(dataset, size_hw=SIZE)


def square(top: int, bottom: int) -> np.ndarray:
    mask = np.zeros((40, 30), bool)
    mask[top:bottom, 5:25] = True
    return mask


def plain(colour=(100, 150, 200), size=(40, 30)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


def test_every_label_and_part_has_its_own_colour():
    for colours in (overlays.ATR_COLOURS, overlays.DENSE_COLOURS):
        assert len({tuple(c) for c in colours.tolist()}) == len(colours)
        assert colours[0].tolist() == [0, 0, 0]


def test_unknown_ids_come_out_black():
    assert not overlays.colour_labels(np.array([[18, 255]], np.uint8)).any()
    assert not overlays.colour_dense(np.array([[25, 255]], np.uint8)).any()


def test_overlay_marks_leaks_and_hidden_identity_and_leaves_its_inputs():
    photo, mask, garment, identity = plain(), square(10, 30), square(5, 25), square(28, 35)
    copies = [a.copy() for a in (photo, mask, garment, identity)]
    view = overlays.mask_overlay(photo, mask, garment, identity)
    assert all(np.array_equal(a, b) for a, b in zip((photo, mask, garment, identity), copies))
    green, cyan = ((view == c).all(axis=2) for c in (overlays.LEAK, overlays.IDENTITY))
    assert np.array_equal(green, garment & ~mask)
    assert np.array_equal(cyan, identity & mask)
    away = ~(mask | garment | identity)
    assert np.array_equal(view[away], photo[away])


def test_overlay_reddens_what_is_hidden():
    view, mask = overlays.mask_overlay(plain(), square(10, 30), strength=1.0), square(12, 28)
    inner = mask & ~overlays.outline(square(10, 30), 2)
    assert (view[inner] == overlays.HIDDEN).all()


def test_outline_lies_inside_and_the_border_of_the_picture_is_none():
    region = np.ones((10, 10), bool)
    assert not overlays.outline(region).any()
    line = overlays.outline(square(10, 30))
    assert line.sum() == 2 * 20 + 2 * 18 and (line <= square(10, 30)).all()


def test_difference_tells_which_mask_hides_more():
    view = overlays.mask_difference(plain((128, 128, 128)), square(10, 20), square(15, 30)).astype(
        int
    )
    red_minus_blue = view[..., 0] - view[..., 2]
    assert red_minus_blue[12, 10] > 50 and red_minus_blue[25, 10] < -50
    assert abs(red_minus_blue[17, 10]) < 5 and abs(red_minus_blue[35, 10]) < 5


def test_missing_joints_are_not_drawn():
    points = np.full((18, 3), np.nan, np.float32)
    points[:, 2] = 0
    black = np.zeros((64, 48, 3), np.uint8)
    assert np.array_equal(overlays.draw_keypoints(black, points), black)
    points[Joint.R_ELBOW] = 20, 30, 1
    one = overlays.draw_keypoints(black, points)
    assert one[30, 20].min() > 200 and (one.max(axis=2) > 0).mean() < 0.02
    points[Joint.R_WRIST] = 20, 50, 1
    both = overlays.draw_keypoints(black, points)
    assert both[40, 20, 0] > 200 > both[40, 20, 2]


def test_joints_far_outside_of_the_picture_are_no_trouble():
    points = np.full((18, 3), 1e6, np.float32)
    points[0] = 5, 5, 1
    assert overlays.draw_keypoints(plain(), points).shape == (40, 30, 3)


def test_sheet_holds_every_picture_unchanged():
    pictures = [[plain((r * 80, c * 60, 9)) for c in range(3)] for r in range(2)]
    sheet = overlays.grid(pictures, ["a", "b", "c"], ["first", "second"], gap=6)
    for row in pictures:
        for picture in row:
            assert (sheet == picture[0, 0]).all(axis=2).sum() == 40 * 30


def test_sheet_takes_masks_grey_pictures_short_rows_and_other_sizes():
    sheet = overlays.grid([[square(10, 30), np.full((80, 60), 7, np.uint8)], [plain()]], height=80)
    assert sheet.shape == (2 * 80 + 3 * 6, 2 * 60 + 3 * 6, 3)
    assert (sheet == 7).all(axis=2).sum() == 80 * 60


def test_long_captions_do_not_run_into_the_next_column():
    tidy = overlays.grid([[plain(), plain()]], ["", "b"])
    long = overlays.grid([[plain(), plain()]], ["a very long caption indeed", "b"])
    assert tidy.shape == long.shape
    second = slice(30 + 2 * 6, None)
    assert np.array_equal(tidy[:, second], long[:, second])
    assert not np.array_equal(tidy, long)


def test_empty_sheet_is_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        overlays.grid([[]])


def layers_of(pictures: report_pictures.Pictures, names, size=SIZE) -> dict[str, np.ndarray]:
    """The PNG's tiles as palette entries."""
    image = Image.open(io.BytesIO(pictures.png))
    assert image.mode == "P" and image.info["transparency"] == 0
    strip = np.array(image)
    return {
        n: strip[:, i * (size[1] + report_pictures.GUTTER) :][:, : size[1]]
        for i, n in enumerate(names)
    }


@pytest.mark.parametrize("row", range(6))
def test_tiles_hold_maps_and_masks_to_the_pixel(people, row):
    from pipeline.masks.person import person_masks

    person = people.load(row, pictures=True)
    question = Question("tight", "loose")
    made = layers_of(
        report_pictures.make_pictures(person, question, SIZE, 999), report_pictures.COMPARED_LAYERS
    )
    masks = person_masks(person, question.styles)
    assert np.array_equal(made["labels"], person.label_map)
    assert np.array_equal(made["dense"] > 0, person.dense_i > 0)
    assert np.array_equal(
        made["dense"][person.dense_i > 0] - report_pictures.DENSE_FROM,
        person.dense_i[person.dense_i > 0],
    )
    for name, style in (("mask", "tight"), ("mask2", "loose")):
        assert np.array_equal(made[name] == report_pictures.HIDDEN, masks[style])
    assert np.array_equal(
        made["difference"] == report_pictures.ONLY_B, masks["loose"] & ~masks["tight"]
    )


def test_palette_gives_tiles_the_colours_of_the_overlays(people):
    made = report_pictures.make_pictures(people.load(0, pictures=True), Question(), SIZE, 999)
    colours = np.array(Image.open(io.BytesIO(made.png)).convert("RGB"))
    entries = np.array(Image.open(io.BytesIO(made.png)))
    assert (colours[entries == Atr.UPPER_CLOTHES] == overlays.ATR_COLOURS[Atr.UPPER_CLOTHES]).all()
    assert (colours[entries == report_pictures.HIDDEN] == overlays.HIDDEN).all()


def test_a_leak_of_one_pixel_survives_shrinking(people):
    person = people.load(0, pictures=True)
    mask = person.label_map > 0
    ys, xs = np.nonzero(person.label_map == Atr.UPPER_CLOTHES)
    mask[ys[100], xs[100]] = False
    person.masks = {"standard": mask}
    small = layers_of(
        report_pictures.make_pictures(person, Question(), SIZE, 96),
        report_pictures.LAYERS,
        (96, 72),
    )
    assert (small["problems"] == report_pictures.LEAK).any()


def test_names_stand_inside_their_regions_largest_first(people):
    label_map = people.load(0).label_map
    places = report_pictures.name_places(label_map)
    assert {i for i, _, _ in places} == set(np.unique(label_map)) - {0}
    for number, x, y in places:
        assert label_map[round(y * SIZE[0] / 1000), round(x * SIZE[0] / 1000)] == number
    areas = [(label_map == i).sum() for i, _, _ in places]
    assert areas == sorted(areas, reverse=True)
    assert report_pictures.name_places(None) == []


def content_of(page) -> dict:
    return json.loads(page.read_text().split('id="data">')[1].split("</script>")[0])


def test_few_people_make_one_file_many_a_folder_beside_it(people, tmp_path, monkeypatch):
    question = Question()
    verdicts = judge_all(people, question)
    assert write_report(tmp_path / "one.html", people, verdicts, question, About("T", "t")) is None
    assert [p.name for p in tmp_path.iterdir()] == ["one.html"]
    monkeypatch.setattr(report, "EMBEDDED", 3)
    folder = write_report(tmp_path / "many.html", people, verdicts, question, About("T", "t"))
    assert folder == tmp_path / "many_files"
    for row in content_of(tmp_path / "many.html")["people"]:
        assert (tmp_path / row["p"]).is_file() and (tmp_path / row["l"]).is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["many.html", "many_files", "one.html"]


def test_second_report_replaces_the_pictures_of_the_first(people, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "EMBEDDED", 1)
    question = Question()
    verdicts = judge_all(people, question)
    for chosen in (verdicts, verdicts[:2]):
        folder = write_report(tmp_path / "r.html", people, chosen, question, About("T", "t"))
    assert len(list(folder.rglob("*.png"))) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "r_files"]


def test_foreign_folder_is_not_replaced(people, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "EMBEDDED", 1)
    (tmp_path / "r_files").mkdir()
    (tmp_path / "r_files/thesis.txt").write_text("years of work")
    question = Question()
    with pytest.raises(DataError, match="holds other files"):
        write_report(
            tmp_path / "r.html", people, judge_all(people, question), question, About("T", "t")
        )
    assert (tmp_path / "r_files/thesis.txt").read_text() == "years of work"
    assert [p.name for p in tmp_path.iterdir()] == ["r_files"]


def test_report_does_not_depend_on_the_number_of_jobs(people, tmp_path):
    question = Question()
    pages = []
    for jobs in (1, 2):
        verdicts = judge_all(people, question, jobs)
        write_report(tmp_path / f"{jobs}.html", people, verdicts, question, About("T", "t"), jobs)
        pages.append((tmp_path / f"{jobs}.html").read_bytes())
    assert pages[0] == pages[1]


def test_text_of_the_data_cannot_end_the_script(people, tmp_path):
    question = Question()
    verdicts = judge_all(people, question)
    verdicts[0].notes.append("</script><script>alert(1)</script>{{data}}")
    write_report(tmp_path / "r.html", people, verdicts, question, About("<i>{{style}}</i>", "t"))
    text = (tmp_path / "r.html").read_text()
    assert "alert(1)</script>" not in text and "<i>" not in text
    assert (
        content_of(tmp_path / "r.html")["people"][0]["n"][-1]
        == "</script><script>alert(1)</script>{{data}}"
    )


def test_sheet_of_people_is_stored_as_png_and_jpeg(people, tmp_path):
    question = Question("standard", "loose")
    sheet = make_sheet(people, judge_all(people, question)[:2], question, height=96)
    for name in ("s.png", "s.jpg"):
        write_picture(tmp_path / name, sheet)
        assert Image.open(tmp_path / name).size == sheet.shape[1::-1]


def test_person_with_hardly_any_file_still_gets_a_row(tmp_path):
    root = write_dataset(tmp_path / "data", categories=(Category.DRESSES,), train=2, test=1)
    for path in list(root.rglob("020714*")):
        if path.name == "020714_4.png":
            path.write_bytes(b"")
        elif path.name not in ("020714_1.jpg", "020714_2.json"):
            path.unlink()
    people = open_people(root, size_hw=SIZE)
    question = Question()
    verdicts = judge_all(people, question)
    write_report(tmp_path / "r.html", people, verdicts, question, About("T", "t"))
    row = content_of(tmp_path / "r.html")["people"][0]
    assert set(row["x"]) == {"photo", "labels", "dense", "mask"} and row["e"]
    assert make_sheet(people, verdicts, question, height=64).shape[0] > 2 * 64


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("leak", 0.0, "0 %"),
        ("leak", 0.0042, "0.42 %"),
        ("leak", 0.00001, "<0.01 %"),
        ("id", 0.99996, "99.9 %"),
        ("id", 1.0, "100 %"),
        ("excess", 1.2345, "1.234"),
        ("pieces", 3.0, "3"),
        ("leak", float("nan"), "–"),
    ],
)
def test_scores_are_told_without_false_precision(name, value, told):
    assert tell(name, value) == told


def test_concern_rises_from_good_to_bad_for_every_judged_score():
    judged = [n for n, limit in LIMITS.items() if limit.good is not None]
    assert len(judged) > 10
    for name in judged:
        for category in Category:
            good, bad = LIMITS[name].bounds(category)
            assert concern(name, good, category) == 0 and concern(
                name, bad, category
            ) == pytest.approx(1)
            assert 0 < concern(name, (good + bad) / 2, category) < 1
            assert concern(name, float("nan"), category) == 0
