"""Weights that come with the program: there, told for what they are, and of use."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli import main
from model.network.checkpoint import read_checkpoint
from model.network.config import NetworkConfig
from model.network.own import OWN_WEIGHTS, is_own, own_weights
from model.tryon.predictor import TryOn
from pipeline.base.labels import Category
from pipeline.masks.person import person_masks
from pipeline.people.open import open_people

MOST_BYTES = 5 << 20


@pytest.mark.parametrize("name", OWN_WEIGHTS)
def test_each_is_small_has_its_card_and_is_the_small_network(name):
    path = own_weights(name)
    assert path.stat().st_size < MOST_BYTES and is_own(path)
    card = path.with_suffix(".md").read_text()
    assert "drawn people" in card and "SSIM inside" in card and "trained on" in card
    weights, rest = read_checkpoint(path)
    assert rest["config"]["network"] == NetworkConfig.preset("small").to_dict()
    assert all(value.isfinite().all() for value in weights.values() if value.is_floating_point())


def test_an_unknown_name_is_told_with_those_that_there_are():
    with pytest.raises(KeyError, match="drawn-upper"):
        own_weights("real")
    assert not is_own("best.pt")


def differences(dataset, category: Category) -> tuple[float, float]:
    """Mean L1 inside the mask, in levels: of the network, and of the garment's mean colour."""
    predictor = TryOn.load(own_weights("drawn"), "cpu")
    ours, plain = [], []
    for whole in open_people(dataset, (category,), "train"):
        person = whole.at((128, 96))
        mask = person_masks(person, ("standard",))["standard"]
        colour = person.garment[(person.garment < 230).any(2)].mean(0)
        found = predictor.dress(person, person.garment)
        ours.append(np.abs(found[mask].astype(float) - person.photo[mask]).mean())
        plain.append(np.abs(colour - person.photo[mask]).mean())
    return float(np.mean(ours)), float(np.mean(plain))


@pytest.mark.parametrize("category", Category)
def test_drawn_people_are_dressed_far_better_than_by_a_plain_colour(sample_dataset, category):
    ours, plain = differences(sample_dataset, category)
    assert ours < 0.8 * plain


def test_without_weights_people_are_dressed_and_told_by_whom(sample_dataset, tmp_path):
    words = ["try-on", "--data", sample_dataset, "--split", "test_paired", "--limit", "1"]
    words += ["--device", "cpu", "--network-size", "128x96", "--size", "128x96"]
    result = CliRunner().invoke(main, [str(w) for w in [*words, "--out", tmp_path / "out"]])
    assert result.exit_code == 0, result.output
    assert "3 dressed" in result.output and "drawn people alone" in result.output
    with Image.open(next((tmp_path / "out").iterdir())) as picture:
        assert picture.size == (96, 128)
