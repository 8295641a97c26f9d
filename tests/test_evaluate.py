"""``evaluate``: figures whose truth is known, by category, paired and unpaired, in JSON and as a
page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from test_metrics import TinyInception
from tiny import tiny_network, tiny_sample, write_shards

from cli import main
from model.evaluation.evaluate import evaluate
from model.evaluation.fid import Inception
from model.evaluation.page import pick, render_page
from model.evaluation.tables import methods_table
from model.loss.vgg import WIDTHS, Lpips
from model.network.daflow import DAFlow
from model.tryon.predictor import TryOn
from pipeline.base.labels import Category
from pipeline.base.storage import file_sha256
from tests.sandboxed import require_sandbox


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Shards of a paired and an unpaired test list: three and two people a category."""
    root = tmp_path_factory.mktemp("evaluate")
    paired = [tiny_sample(c, i, split="test_paired") for c in Category for i in range(3)]
    unpaired = [
        tiny_sample(c, i, split="test_unpaired", garment=i + 1) for c in Category for i in range(2)
    ]
    return [write_shards(root / "paired", paired), write_shards(root / "unpaired", unpaired)]


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "tiny.pt"
    require_sandbox()
    torch.jit.script(TinyInception()).save(str(path))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A training checkpoint whose moving average and trained weights differ."""
    torch.manual_seed(0)
    network = DAFlow(tiny_network())
    average = {key: value.clone() for key, value in network.state_dict().items()}
    trained = {
        key: value + 0.1 if value.is_floating_point() else value for key, value in average.items()
    }
    path = tmp_path_factory.mktemp("weights") / "best.pt"
    torch.save(
        {
            "format": "fittingroom",
            "version": 1,
            "config": {"network": network.config.to_dict()},
            "network": average,
            "trained": trained,
        },
        path,
    )
    return path


class Shows(torch.nn.Module):
    """Instead of a network: the agnostic picture, hidden part filled with one value."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value

    def forward(self, reference, garment, agnostic):
        return torch.where((agnostic == -1).all(1, keepdim=True), self.value, agnostic)


def predictor(value: float) -> TryOn:
    return TryOn(Shows(value), facts={"file": "shows.pt", "sha256": "0", "choice": "raw"})


def test_a_limit_leaves_people_of_every_split_and_category(folders):
    metrics = evaluate(predictor(0.0), folders, limit=1).result["metrics"]
    assert [
        metrics[kind][str(c)]["count"] for kind in ("paired", "unpaired") for c in Category
    ] == [1] * 6


def test_figures_inside_the_mask_are_those_of_the_filled_region(folders):
    grey = 102
    found = evaluate(predictor(grey / 127.5 - 1), folders[:1], batch_size=4)
    l1, whole = [], []
    for category in Category:
        for i in range(3):
            reader, at = found.dataset.folders[0].reader(category.index * 3 + i)
            person, mask = reader.photo(at).astype(float), reader.mask(at, "standard")
            difference = np.abs(person - np.where(mask[..., None], grey, person)) / 255
            l1.append(difference[mask].mean())
            whole.append(difference.mean())
    figures = found.result["metrics"]["paired"]
    assert figures["all"]["count"] == 9 and figures["dresses"]["count"] == 3
    assert figures["all"]["l1_inside"] == pytest.approx(np.mean(l1), abs=1e-6)
    assert figures["all"]["l1"] == pytest.approx(np.mean(whole), abs=1e-6)
    assert figures["upper_body"]["l1_inside"] == pytest.approx(np.mean(l1[:3]), abs=1e-6)
    assert found.result["metrics"]["unpaired"] == {}
    assert sum(told["count"] for told in found.result["metrics"]["poses"].values()) == 9


def test_the_batch_size_changes_no_figure(folders):
    one, many = (
        evaluate(predictor(0.0), folders, batch_size=size).result["metrics"] for size in (1, 7)
    )
    assert one == many


def test_unpaired_people_count_for_the_distances_alone(folders, inception_file):
    found = evaluate(predictor(0.0), folders, inception=Inception(inception_file)).result["metrics"]
    assert found["unpaired"]["all"]["count"] == 6 and found["unpaired"]["lower_body"]["count"] == 2
    arrived = {"colours_apart", "pattern_apart", "l1_outside"}
    assert set(found["unpaired"]["all"]) == {"count", "fid", "kid"} | arrived
    assert found["paired"]["all"]["count"] == 9
    for pairing in (found["paired"], found["unpaired"]):
        assert all(figures["fid"] > 0 for figures in pairing.values())


def test_distances_are_zero_where_the_results_are_the_photos(folders, inception_file):
    class Truth(TryOn):
        def __call__(self, reference, garment, agnostic):
            return self.people.pop(0)

    perfect = Truth(Shows(0), facts=predictor(0).facts)
    from model.data.dataset import TryOnDataset

    perfect.people = [sample["person"][None] for sample in TryOnDataset(folders)]
    found = evaluate(perfect, folders, batch_size=1, inception=Inception(inception_file)).result[
        "metrics"
    ]
    assert found["paired"]["all"]["ssim"] == pytest.approx(1) and found["paired"]["all"]["l1"] == 0
    assert found["unpaired"]["all"]["fid"] == pytest.approx(0, abs=1e-9)


def test_putting_back_visible_pixels_leaves_errors_inside_only(folders):
    class Noise(torch.nn.Module):
        def forward(self, reference, garment, agnostic):
            return torch.zeros_like(agnostic)

    noisy = TryOn(Noise(), facts=predictor(0).facts)
    own, put_back = (evaluate(noisy, folders[:1], composited=c) for c in (False, True))
    assert (
        put_back.result["metrics"]["paired"]["all"]["l1"]
        < own.result["metrics"]["paired"]["all"]["l1"]
    )
    assert put_back.result["protocol"]["picture"] != own.result["protocol"]["picture"]
    (method,) = own.result["methods"]
    assert method["pictures"]["own"] == own.result["metrics"]
    assert method["pictures"]["composite"] == put_back.result["metrics"]
    assert method["pictures"]["composite"]["paired"]["all"]["l1_outside"] == 0


def test_lpips_is_the_mean_over_people(folders):
    torch.manual_seed(0)
    network = Lpips()
    for i in range(len(WIDTHS)):
        getattr(network, f"linear{i}").fill_(0.1)
    found = evaluate(predictor(0.0), folders[:1], lpips=network)
    values = [row["lpips"] for row in found.rows]
    assert min(values) > 0
    assert found.result["metrics"]["paired"]["all"]["lpips"] == pytest.approx(np.mean(values))


def test_best_median_and_worst_are_in_order(folders):
    people = pick(evaluate(predictor(0.0), folders[:1]))
    assert set(people) == {str(c) for c in Category}
    for shown in people.values():
        assert [name for name, _ in shown] == ["best", "median", "worst"]
        figures = [row["ssim_inside"] for _, row in shown]
        assert figures == sorted(figures, reverse=True) and figures[0] > figures[-1]


def test_page_holds_table_pictures_and_settings_and_loads_nothing(folders):
    found = evaluate(predictor(0.0), folders)
    page = render_page(found)
    parts = [methods_table(found.result, (kind,)) for kind in ("paired", "unpaired")]
    heads, rows = parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    assert all(f"<th>{head}</th>" in page for head in heads)
    assert all(f"<td>{cell}</td>" in page for row in rows for cell in row)
    assert page.count("<img ") % 5 == 0 and page.count("<img ") >= 3 * 3 * 5 and "http" not in page
    assert page.count("<img ") == len(re.findall(r"src='data:image/jpeg;base64,", page))
    assert "no Inception file was given" in page and "By category and by pose" in page
    assert "OpenCV" in page and "shows.pt" in page


def run(*arguments) -> str:
    done = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def test_command_writes_figures_with_everything_they_depend_on(
    folders, inception_file, checkpoint, tmp_path
):
    out = run(
        checkpoint,
        *folders,
        "--inception",
        inception_file,
        "--json",
        tmp_path / "figures.json",
        "--html",
        tmp_path / "page.html",
        "--device",
        "cpu",
        "--mask-style",
        "loose",
    )
    stored = json.loads((tmp_path / "figures.json").read_text())
    assert f"{stored['metrics']['paired']['all']['ssim']:.4f}" in out
    assert stored["weights"] == {
        "file": "best.pt",
        "sha256": file_sha256(checkpoint),
        "choice": "ema",
        "own": False,
        "frame": "whole",
    }
    card = stored["protocol"]
    assert card["mask_style"] == "loose" and card["size"] == "64x64" and card["people"] == 15
    assert card["fid, kid"]["backbone"] == "tiny.pt"
    assert "299" in card["fid, kid"]["resize"] and "OpenCV" in card["ssim"]
    assert card["complete"].startswith("fewer than the 1,800") and card["libraries"]["torch"]
    assert [told["split"] for told in card["lists"]] == ["test_paired", "test_unpaired"]
    assert (
        stored["software"].startswith("fittingroom ")
        and stored["metrics"]["paired"]["all"]["count"] == 9
    )
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_trained_weights_are_measured_on_request(folders, checkpoint, tmp_path):
    for choice in ("ema", "raw"):
        run(
            checkpoint,
            folders[0],
            "--weights",
            choice,
            "--json",
            tmp_path / choice,
            "--limit",
            1,
            "--device",
            "cpu",
        )
    ema, raw = (json.loads((tmp_path / choice).read_text()) for choice in ("ema", "raw"))
    assert raw["weights"]["choice"] == "raw"
    assert ema["metrics"]["paired"]["all"]["l1"] != raw["metrics"]["paired"]["all"]["l1"]


def test_a_moving_average_that_is_not_there_is_told(folders, tmp_path):
    torch.save(
        {
            "config": {"network": tiny_network().to_dict()},
            "network": DAFlow(tiny_network()).state_dict(),
        },
        tmp_path / "plain.pt",
    )
    done = CliRunner().invoke(
        main, ["evaluate", str(tmp_path / "plain.pt"), str(folders[0]), "--weights", "ema"]
    )
    assert (
        done.exit_code == 1
        and "no moving average" in done.output
        and "Traceback" not in done.output
    )
