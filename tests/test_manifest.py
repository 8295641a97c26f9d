"""The manifest's facts agree with the code's enumerations and with themselves."""

import pytest

from pipeline.base import manifest
from pipeline.base.errors import DataError
from pipeline.base.labels import Atr, Category, DensePart, Joint
from pipeline.base.manifest import load_manifest
from pipeline.base.names import DEFAULT_HW, SPLITS
from pipeline.preprocess.config import PreprocessConfig


def test_names_and_their_order_are_those_of_the_enumerations():
    facts = load_manifest()
    assert facts.joints == tuple(j.name.lower() for j in Joint)
    assert facts.label_names == tuple(a.name.lower() for a in Atr)
    assert facts.dense_names == tuple(d.name.lower() for d in DensePart)
    assert dict(facts.category_index) == {c: c.index for c in Category}


def test_splits_and_the_size_of_the_recipe_are_those_that_options_take():
    facts = load_manifest()
    assert facts.splits == SPLITS and facts.recipe.size_hw == DEFAULT_HW
    assert PreprocessConfig().split == facts.recipe.split


def test_ids_are_unique_and_without_gaps_over_the_whole_dataset():
    facts = load_manifest()
    numbers = [
        n
        for ranges in (facts.train, facts.test)
        for r in ranges.values()
        for n in range(r.first, r.last + 1)
    ]
    assert sorted(numbers) == list(range(facts.people)) and facts.people == 53_792
    assert all(
        r.count == r.last - r.first + 1
        for ranges in (facts.train, facts.test)
        for r in ranges.values()
    )


@pytest.mark.parametrize("category", Category)
def test_every_modality_has_a_place_for_every_category(category, tmp_path):
    facts = load_manifest()
    paths = {facts.path(tmp_path, modality, category, "000123") for modality in facts.layout}
    assert len(paths) == len(facts.layout) == 7
    assert all(p.is_relative_to(tmp_path / category.value) and "000123" in p.name for p in paths)


def test_photos_are_twice_the_keypoint_frame():
    facts = load_manifest()
    assert facts.image_hw == (1024, 768)
    assert facts.keypoint_hw == (512, 384)


def test_known_issues_name_people_of_their_category():
    facts = load_manifest()
    assert len(facts.known_issues) >= 7
    for issue in facts.known_issues:
        number = int(issue.person_id)
        assert number in facts.train[issue.category] or number in facts.test[issue.category], issue


def test_recipe_takes_as_many_people_as_every_category_has():
    facts = load_manifest()
    assert facts.recipe.people_per_category == 1800
    assert all(facts.ids(c, facts.recipe.split).count >= 1800 for c in Category)


def test_a_spoilt_manifest_is_named_with_a_remedy(tmp_path, monkeypatch):
    (tmp_path / "data_manifest.json").write_text("{}")
    monkeypatch.setattr(manifest, "manifest_path", lambda: tmp_path / "data_manifest.json")
    load_manifest.cache_clear()
    try:
        with pytest.raises(DataError, match="data_manifest.json: not a readable manifest.*Restore"):
            load_manifest()
    finally:
        load_manifest.cache_clear()
