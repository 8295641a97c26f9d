"""``inspect-mask``: who is scored, what is told, which exit code, which files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_dresscode import write_dataset

from cli import main
from pipeline.base.labels import Category
from pipeline.dataset.identity import Identity
from pipeline.dataset.index import index_pairs, read_exclude
from pipeline.inspect.inspection import Question, Verdict, choose, iou, judge_all
from pipeline.people.open import open_people
from pipeline.preprocess.run import preprocess


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), train=3, test=2)


@pytest.fixture(scope="module")
def shards(dataset, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "train"
    preprocess(dataset, out, split="train", size_hw=(128, 96), jobs=1)
    return out


def inspect(*arguments, code: int = 0):
    result = CliRunner().invoke(main, ["inspect-mask", *map(str, arguments), "--jobs", "1"])
    assert result.exit_code == code, result.output
    return result


def scored(tmp_path: Path, *arguments, code: int = 0) -> dict[str, dict]:
    """Everybody's entry in the JSON file, by key."""
    inspect(*arguments, "--json", tmp_path / "scores.json", code=code)
    people = json.loads((tmp_path / "scores.json").read_text())["people"]
    return {f"{p['category']}/{p['person']}": p for p in people}


def broken_copy(tmp_path: Path) -> Path:
    """Nine people of whom one has no readable label map, one no photo."""
    root = write_dataset(tmp_path / "broken", train=3, test=1)
    (root / "dresses/label_maps/020715_4.png").write_bytes(b"no picture")
    (root / "upper_body/images/000002_0.jpg").unlink()
    return root


def test_table_tells_means_of_every_category(dataset):
    output = inspect(dataset, "--size", "256x192").stdout
    header = output.splitlines()[0].split()
    assert header[:4] == ["mean", "upper_body", "lower_body", "dresses"]
    for score in ("leak", "id", "excess", "area"):
        assert any(line.split()[:1] == [score] for line in output.splitlines()), score


def test_everybody_is_scored_with_the_definitions_of_the_scores(dataset, tmp_path):
    from pipeline.inspect.scores import score_mask
    from pipeline.masks.render import render_agnostic_mask

    people = scored(tmp_path, dataset, "--size", "256x192")
    assert len(people) == 9
    for i, who in enumerate(open_people(dataset, size_hw=(256, 192)).names):
        person = open_people(dataset, size_hw=(256, 192)).load(i)
        parts = (who.category, person.keypoints, person.dense_i, person.label_map)
        mask = render_agnostic_mask(*parts, photo=person.photo)
        expected = score_mask(*parts, mask)
        for name, value in expected.items():
            told = people[who.key]["scores"][name]
            assert told is None if np.isnan(value) else told == pytest.approx(float(value)), name


def test_shards_are_recognised_and_score_like_their_dataset(dataset, shards, tmp_path):
    of_shards = scored(tmp_path, shards)
    of_dataset = scored(tmp_path, dataset, "--size", "128x96")
    assert of_shards.keys() == of_dataset.keys()
    for key, entry in of_shards.items():
        assert entry["scores"] == pytest.approx(of_dataset[key]["scores"], nan_ok=True), key


def test_shards_as_the_dataset_gives_them_are_told_to_be_equal(dataset, shards, tmp_path):
    people = scored(tmp_path, shards, "--data", dataset)
    assert {entry["scores"]["stored"] for entry in people.values()} == {1.0}
    assert not any(entry["notes"] for entry in people.values())


def test_mask_that_differs_from_the_dataset_is_told(shards, tmp_path):
    changed = write_dataset(tmp_path / "changed", train=3, test=2)
    path = changed / "dresses/keypoints/020715_2.json"
    rows = json.loads(path.read_text())["keypoints"]
    path.write_text(json.dumps({"keypoints": [[x * 0.8, y * 0.8, *rest] for x, y, *rest in rows]}))
    (changed / "upper_body/label_maps/000001_4.png").write_bytes(b"")
    people = scored(tmp_path, shards, "--data", changed)
    assert [k for k, p in people.items() if p["scores"].get("stored", 1) < 1] == ["dresses/020715"]
    assert "mask differs from the dataset's" in people["dresses/020715"]["notes"][0]
    assert "000001_4.png" in people["upper_body/000001"]["notes"][0]
    assert [k for k, p in people.items() if p["notes"]] == ["upper_body/000001", "dresses/020715"]


def test_shards_without_any_map_show_their_stored_masks(tmp_path):
    from tiny import tiny_sample, write_shards

    samples = [tiny_sample(category, i) for category in Category for i in range(2)]
    folder = write_shards(tmp_path / "s", samples)
    people = scored(tmp_path, folder, "--against", "loose", "--out", tmp_path / "r.html")
    assert len(people) == 6
    for sample, entry in zip(samples, people.values()):
        assert entry["scores"]["area"] == pytest.approx(sample.masks["standard"].mean())
        assert entry["scores"]["iou"] == pytest.approx(
            iou(sample.masks["standard"], sample.masks["loose"])
        )
        assert entry["missing"] == ["label map", "DensePose"] and not entry["problems"]
    assert "no masks of style tight" in inspect(folder, "--style", "tight").stderr


def test_older_masks_are_told(shards, monkeypatch):
    assert "masks of version" not in inspect(shards).stderr
    monkeypatch.setattr("pipeline.masks.render.MASK_VERSION", 99)
    assert "draws version 99" in inspect(shards).stderr


def test_data_goes_with_shards_only(dataset):
    assert "--data goes with shards" in inspect(dataset, "--data", dataset, code=2).stderr


def test_ids_choose_people_of_any_split(dataset, tmp_path):
    assert list(scored(tmp_path, dataset, "000001", "dresses/051992")) == [
        "upper_body/000001",
        "dresses/051992",
    ]


def test_unknown_id_is_an_error_that_names_it(dataset, shards):
    for place in (dataset, shards):
        result = inspect(place, "000001", "999999", code=1)
        assert "999999" in result.stderr and "Traceback" not in result.output


def test_category_split_and_limit_narrow_the_people(dataset, tmp_path):
    people = scored(
        tmp_path,
        dataset,
        "--category",
        "lower_body",
        "--category",
        "dresses",
        "--limit",
        1,
        "--split",
        "test_paired",
    )
    assert list(people) == ["lower_body/050192", "dresses/051992"]


def test_sample_is_the_same_for_the_same_seed(dataset, tmp_path):
    draws = [
        tuple(scored(tmp_path, dataset, "--sample", 4, "--seed", seed)) for seed in (1, 1, 2, 3)
    ]
    assert draws[0] == draws[1] and len(set(draws)) > 1
    assert all(len(set(draw)) == 4 for draw in draws)


def test_worst_people_come_first_in_report_and_list(dataset, tmp_path):
    people = scored(tmp_path, dataset, "--worst", 2, "--by", "excess", "--out", tmp_path / "r.html")
    assert len(people) == 9
    worst = sorted(people, key=lambda k: -people[k]["scores"]["excess"])[:2]
    page = (tmp_path / "r.html").read_text()
    shown = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [row["k"] for row in shown["people"]] == worst
    listed = inspect(dataset, "--by", "excess").stdout.split("worst people")[1]
    assert listed.index(worst[0]) < listed.index(worst[1])


def test_worst_is_lowest_where_high_is_good():
    verdicts = [
        Verdict(i, Identity(Category.DRESSES, "train", f"{i:06}", ""), {"id": v})
        for i, v in enumerate((0.99, float("nan"), 0.5, 1.0))
    ]
    assert [v.row for v in choose(verdicts, worst=4, by="id")] == [2, 0, 3, 1]


def test_people_without_a_mask_are_the_worst_by_any_score(tmp_path):
    people = open_people(broken_copy(tmp_path), size_hw=(256, 192))
    verdicts = judge_all(people, Question())
    for by in ("trouble", "leak", "id"):
        assert {v.who.key for v in choose(verdicts, worst=2, by=by)} == {
            "upper_body/000002",
            "dresses/020715",
        }, by


def test_two_styles_are_compared(dataset, tmp_path):
    people = scored(
        tmp_path, dataset, "--style", "tight", "--against", "loose", "--size", "256x192"
    )
    overlaps = [entry["scores"]["iou"] for entry in people.values()]
    assert all(0.2 < overlap < 1 for overlap in overlaps)
    assert (
        "the same as --style"
        in inspect(dataset, "--style", "tight", "--against", "tight", code=2).stderr
    )


def test_thresholds_give_exit_code_1_with_the_list(dataset, tmp_path):
    people = scored(tmp_path, dataset)
    areas = sorted((p["scores"]["area"], key) for key, p in people.items())
    limit = (areas[-1][0] + areas[-2][0]) / 2
    result = inspect(dataset, "--fail-above", f"area={limit}", code=1)
    assert [line.split()[0] for line in result.stdout.splitlines() if " above 0." in line] == [
        areas[-1][1]
    ]
    assert inspect(dataset, "--fail-above", "area=1", "--fail-below", "area=0").exit_code == 0
    below = inspect(dataset, "--fail-below", f"area={100 * limit}%", code=1)
    assert "8 people fail" in below.stdout


def test_misspelt_scores_and_thresholds_are_wrong_usage(dataset):
    assert "No score 'laek'" in inspect(dataset, "--fail-above", "laek=0.1", code=2).stderr
    assert "No score 'size'" in inspect(dataset, "--by", "size", code=2).stderr
    assert "leak=0.01" in inspect(dataset, "--fail-above", "leak", code=2).stderr
    assert "leak=0.01" in inspect(dataset, "--fail-above", "leak=nan", code=2).stderr


def test_person_without_a_mask_fails_thresholds_and_keeps_the_others(tmp_path):
    root = broken_copy(tmp_path)
    pictures = ("--out", tmp_path / "r.html", "--sheet", tmp_path / "s.png")
    result = inspect(root, "--fail-above", "area=1", *pictures, code=1)
    assert "020715_4.png" in result.stdout and "000002_0.jpg" in result.stdout
    assert "2 people fail" in result.stdout and "Traceback" not in result.output
    assert (tmp_path / "r.html").is_file() and (tmp_path / "s.png").is_file()


def test_rejected_people_are_what_preprocess_excludes(tmp_path):
    root = broken_copy(tmp_path)
    inspect(root, "--fail-above", "area=1", "--reject", tmp_path / "reject.txt", code=1)
    rejected = read_exclude(tmp_path / "reject.txt")
    assert rejected == {"upper_body/000002", "dresses/020715"}
    assert all(" # " in line for line in (tmp_path / "reject.txt").read_text().splitlines())
    kept = {r.key for r in index_pairs(root, exclude=rejected)}
    assert len(kept) == 7 and not kept & rejected


def test_table_file_has_a_line_for_everybody(tmp_path):
    inspect(broken_copy(tmp_path), "--csv", tmp_path / "s.csv")
    with open(tmp_path / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    by_key = {f"{r['category']}/{r['person']}": r for r in rows}
    assert (
        by_key["dresses/020715"]["leak"] == ""
        and "020715_4.png" in by_key["dresses/020715"]["problems"]
    )
    assert 0 <= float(by_key["dresses/020714"]["leak"]) <= 1


def test_missing_folders_are_told_before_the_work(dataset, tmp_path):
    result = inspect(dataset, "--out", tmp_path / "no/where.html", code=1)
    assert "no such folder" in result.stderr and "scored" not in result.stderr
    assert "ends in .png" in inspect(dataset, "--sheet", tmp_path / "sheet.gif", code=2).stderr
    assert "no such folder" in inspect(tmp_path / "nothing", code=1).stderr


def test_verdicts_do_not_depend_on_the_number_of_jobs(dataset, shards):
    for people in (open_people(dataset, size_hw=(128, 96)), open_people(shards)):
        one, two = (judge_all(people, Question(against="loose"), jobs) for jobs in (1, 2))
        assert [(v.who, v.reasons) for v in one] == [(v.who, v.reasons) for v in two]
        assert all(a.scores == pytest.approx(b.scores, nan_ok=True) for a, b in zip(one, two))


def test_shard_that_breaks_meanwhile_costs_only_its_own_people(dataset, tmp_path):
    preprocess(dataset, tmp_path / "s", split="train", size_hw=(64, 64), jobs=1)
    people = open_people(tmp_path / "s")
    shard = next((tmp_path / "s").glob("dresses*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 3 :] = b"\0" * (len(data) - len(data) // 3)
    shard.write_bytes(data)
    verdicts = judge_all(people, Question())
    broken = [v.who.category is Category.DRESSES for v in verdicts]
    assert [bool(v.problems) for v in verdicts] == broken and sum(broken) == 3
    assert all(shard.name in v.problems[0] for v, is_broken in zip(verdicts, broken) if is_broken)


def test_overlap_of_masks():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert iou(a, b) == 1
    a[:2], b[1:3] = True, True
    assert iou(a, b) == pytest.approx(1 / 3)


def test_one_persons_bad_luck_is_told_and_costs_nobody_else(dataset, monkeypatch):
    from pipeline.inspect import inspection

    whole = inspection.score_mask

    def unlucky(category, *rest):
        if category is Category.DRESSES:
            raise ZeroDivisionError("no shoulders")
        return whole(category, *rest)

    monkeypatch.setattr(inspection, "score_mask", unlucky)
    verdicts = judge_all(open_people(dataset, size_hw=(128, 96)), Question())
    for v in verdicts:
        unlucky_one = v.who.category is Category.DRESSES
        assert v.problems == (["ZeroDivisionError: no shoulders"] if unlucky_one else [])


def test_real_people_pass(real_people, tmp_path):
    people = scored(
        tmp_path,
        real_people,
        "--out",
        tmp_path / "r.html",
        "--fail-above",
        "leak=0",
        "--fail-below",
        "id=0.97",
    )
    assert len(people) == 3 and not any(p["problems"] for p in people.values())


def test_cf_and_room_are_scored_where_they_are_named(dataset, tmp_path):
    plain = scored(tmp_path, dataset, "--size", "256x192")
    assert not any({"cf", "room"} & set(p["scores"]) for p in plain.values())
    assert all("spill" in p["scores"] for p in plain.values())
    for words, names in ((["--by", "cf"], {"cf"}), (["--costly"], {"cf", "room"})):
        told = scored(tmp_path, dataset, "--size", "256x192", *words)
        assert any(names <= set(p["scores"]) for p in told.values())
    above = scored(tmp_path, dataset, "--size", "256x192", "--fail-above", "room=1")
    assert any("room" in p["scores"] for p in above.values())


def test_names_of_scores_are_checked_before_anybody_is_scored(dataset, monkeypatch):
    import pipeline.inspect.inspection as module

    def never(*_):
        raise AssertionError("scored")

    monkeypatch.setattr(module, "judge_all", never)
    assert "No score 'romo'" in inspect(dataset, "--by", "romo", code=2).stderr


def test_a_person_with_a_note_is_worth_a_look_everywhere(tmp_path):
    root = write_dataset(tmp_path / "data", train=2, test=1)
    path = root / "lower_body/label_maps/013563_4.png"
    with Image.open(path) as image:
        labels, palette = np.array(image), image.getpalette()
    labels[np.isin(labels, (5, 6))] = 0
    written = Image.frombytes("P", labels.shape[::-1], labels.tobytes())
    written.putpalette(palette)
    written.save(path)
    told = scored(tmp_path, root, "--size", "256x192", "--reject", tmp_path / "out.txt")
    person = told["lower_body/013563"]
    assert any("almost no garment" in note for note in person["notes"])
    assert person["trouble"] >= 0.5
    assert "lower_body/013563" in (tmp_path / "out.txt").read_text()


def test_masks_from_guessed_maps_are_not_said_to_be_right(tmp_path):
    root = write_dataset(tmp_path / "data", categories=(Category.UPPER_BODY,), train=2, test=1)
    sources = {"label_map": "geometry", "keypoints": "mediapipe"}
    told = {"upper_body/000000": {"file": "me.jpg", "sources": sources}}
    (root / "annotations.json").write_text(json.dumps(told))
    people = scored(tmp_path, root, "--size", "256x192")
    assert "is not known" in people["upper_body/000000"]["notes"][0]
    assert people["upper_body/000001"]["notes"] == []

    order = ["preprocess", root, tmp_path / "shards", "--size", "256x192", "--jobs", "1"]
    packed = CliRunner().invoke(main, list(map(str, order)))
    assert "Label maps of 1 people are guessed" in packed.stderr
    people = scored(tmp_path, tmp_path / "shards")
    assert "is not known" in people["upper_body/000000"]["notes"][0]
    assert people["upper_body/000001"]["notes"] == []
