"""Shards as training batches."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from tiny import SIZE, tiny_sample, tiny_shards, write_shards
from torch.utils.data import DataLoader

from model.data.dataset import (
    TryOnDataset,
    held_out,
    jitter_colours,
    mirror_keypoints,
    sample_random,
    to_image,
    to_tensor,
)
from model.data.sampler import BatchSampler, chosen_evenly, epoch_order, plan_epoch
from pipeline.base.errors import DataError
from pipeline.base.labels import Category, Joint
from pipeline.dataset.pose import render_pose
from pipeline.masks.render import apply_mask


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_shards(tmp_path_factory.mktemp("dataset") / "shards", people=6)


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(torch.as_tensor(a[name]), torch.as_tensor(b[name])) for name in a)


def test_tensors_have_the_documented_shapes_and_ranges(shards):
    sample = TryOnDataset([shards])[0]
    shapes = {name: tuple(value.shape) for name, value in sample.items() if torch.is_tensor(value)}
    assert shapes == {
        "reference": (6, *SIZE),
        "garment": (3, *SIZE),
        "agnostic": (3, *SIZE),
        "person": (3, *SIZE),
        "mask": (1, *SIZE),
    }
    for name in shapes:
        assert sample[name].dtype == torch.float32
    assert sample["person"].min() >= -1 and sample["person"].max() <= 1
    assert set(sample["mask"].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("category", list(Category))
def test_agnostic_hides_the_masked_garment_and_nothing_else(shards, category):
    dataset = TryOnDataset([shards], categories=[category])
    sample, hidden = dataset[0], dataset[0]["mask"][0] == 1
    assert (sample["agnostic"][:, hidden] == -1).all()
    assert torch.equal(sample["agnostic"][:, ~hidden], sample["person"][:, ~hidden])
    assert torch.equal(sample["reference"][3:], sample["agnostic"])
    assert sample["category"] == category.index


def test_pose_is_drawn_from_the_keypoints(shards):
    dataset = TryOnDataset([shards])
    joints = dataset.folders[0].reader(0)[0].keypoints(0)
    assert np.array_equal(to_image(dataset[0]["reference"][:3]), render_pose(joints, SIZE))


def test_mirrored_person_has_joints_swapped_and_pose_drawn_again(shards):
    plain, mirrored = TryOnDataset([shards]), TryOnDataset([shards], mirror=True, seed=3)
    turned = [i for i in range(len(plain)) if not same(plain[i], mirrored[i])]
    assert 0 < len(turned) < len(plain)
    i = turned[0]
    for name in ("person", "garment", "agnostic", "mask"):
        assert torch.equal(mirrored[i][name], plain[i][name].flip(-1)), name
    shard, at = plain.folders[0].reader(plain.rows[i].position)
    expected = render_pose(mirror_keypoints(shard.keypoints(at), SIZE[1]), SIZE)
    assert np.array_equal(to_image(mirrored[i]["reference"][:3]), expected)
    assert not np.array_equal(
        expected, to_image(plain[i]["reference"][:3])[:, ::-1]
    )  # a flipped drawing is wrong


def test_mirroring_keypoints_swaps_sides_keeps_gaps_and_undoes_itself():
    joints = tiny_sample(Category.DRESSES, 3).keypoints
    before = joints.copy()
    mirrored = mirror_keypoints(joints, 64)
    assert np.array_equal(joints, before, equal_nan=True)
    assert np.allclose(mirrored[Joint.R_WRIST, 0], 63 - joints[Joint.L_WRIST, 0], equal_nan=True)
    assert np.isnan(mirrored[:, 0]).sum() == np.isnan(joints[:, 0]).sum() == 1
    assert np.allclose(mirror_keypoints(mirrored, 64), joints, equal_nan=True)


def test_mixed_styles_show_every_mask_and_change_with_the_epoch(shards):
    dataset = TryOnDataset([shards], mask_style="mix")
    fixed = {style: TryOnDataset([shards], mask_style=style) for style in ("standard", "loose")}
    seen = Counter()
    for epoch in range(6):
        for style, other in fixed.items():
            seen[style] += torch.equal(dataset[epoch, 0]["mask"], other[0]["mask"])
    assert sum(seen.values()) == 6 and len([style for style in seen if seen[style]]) == 2


def test_sample_random_is_even_and_another_for_every_sample_epoch_and_seed():
    drawn = np.array(
        [
            sample_random(seed, epoch, index)
            for seed in range(2)
            for epoch in range(10)
            for index in range(300)
        ]
    )
    assert len(np.unique(drawn)) == drawn.size
    assert drawn.min() >= 0 and drawn.max() < 1
    counts, *_ = np.histogram2d(*drawn.T, bins=4)
    assert np.abs(counts / len(drawn) - 1 / 16).max() < 0.015  # nearly five standard deviations
    assert sample_random(3, 2, 1) == sample_random(3, 2, 1) != sample_random(3, 21, 1)


def test_a_style_that_the_shards_lack_is_refused_with_the_ones_they_have(shards):
    with pytest.raises(DataError, match="tight.*standard, loose.*--mask-style tight"):
        TryOnDataset([shards], mask_style="tight")


def test_colour_jitter_changes_person_and_garment_alike_and_leaves_the_mask(shards):
    plain, jittered = TryOnDataset([shards])[0], TryOnDataset([shards], jitter=0.3)[0]
    assert not torch.equal(plain["person"], jittered["person"])
    assert torch.equal(plain["mask"], jittered["mask"])
    assert torch.equal(plain["reference"][:3], jittered["reference"][:3])
    grey = np.full((4, 4, 3), 120, np.uint8)
    first, second = jitter_colours((grey, grey), 0.3, np.random.default_rng(0))
    assert np.array_equal(first, second)
    unchanged = jitter_colours((grey,), 0.0, np.random.default_rng(0))[0]
    assert np.abs(unchanged.astype(int) - 120).max() <= 1


def test_samples_do_not_depend_on_workers_or_on_how_they_are_started(shards):
    dataset = TryOnDataset([shards], mirror=True, jitter=0.2, mask_style="mix", seed=5)
    sampler = BatchSampler(plan_epoch(epoch_order(dataset.categories, 5, 2), 4), epoch=2)
    runs = [
        list(DataLoader(dataset, batch_sampler=sampler, **options))
        for options in (
            {},
            {"num_workers": 2},
            {"num_workers": 1, "multiprocessing_context": "spawn"},
        )
    ]
    assert len(runs[0]) == 5
    for other in runs[1:]:
        assert all(same(a, b) for a, b in zip(runs[0], other, strict=True))
    assert not same(dataset[0, 1], dataset[1, 1]) or not same(dataset[0, 2], dataset[1, 2])


def test_images_survive_the_way_to_tensors_and_back():
    image = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    assert np.array_equal(to_image(to_tensor(image)), image)
    assert to_image(torch.full((3, 1, 1), torch.nan)).max() == 0


def test_apply_mask_hides_with_black(shards):
    dataset = TryOnDataset([shards])
    shard, at = dataset.folders[0].reader(0)
    expected = to_tensor(apply_mask(shard.photo(at), shard.mask(at, "standard")))
    assert torch.equal(dataset[0]["agnostic"], expected)


def test_training_and_validation_parts_share_nobody_and_leave_nobody_out(tmp_path):
    folder = tiny_shards(tmp_path / "shards", people=20)
    parts = {
        part: {row.key for row in TryOnDataset([folder], part=part, validation_share=0.2).rows}
        for part in ("all", "train", "validation")
    }
    assert not parts["train"] & parts["validation"]
    assert parts["train"] | parts["validation"] == parts["all"] and len(parts["all"]) == 60
    assert {key.split("/")[0] for key in parts["validation"]} == {str(c) for c in Category}


def test_the_split_stays_when_people_are_added(tmp_path):
    few, many = tiny_shards(tmp_path / "few", people=12), tiny_shards(tmp_path / "many", people=24)
    held = [
        {row.key for row in TryOnDataset([f], part="validation", validation_share=0.3).rows}
        for f in (few, many)
    ]
    known = {row.key for row in TryOnDataset([few]).rows}
    assert held[0] and held[1] & known == held[0]


def test_duplicates_by_keypoints_stay_together_across_categories():
    rng = np.random.default_rng(1)
    joints = [rng.uniform(0, 64, (18, 3)).astype(np.float32) for _ in range(200)]
    keys = [f"upper_body/{i:06d}" for i in range(200)] + [
        f"lower_body/{i:06d}" for i in range(500, 700)
    ]
    out = held_out(keys, joints + joints, 0.3)
    assert np.array_equal(out[:200], out[200:]) and 0.15 < out.mean() < 0.45


def test_people_without_any_joint_are_no_duplicates_of_each_other():
    out = held_out(
        [f"dresses/{i:06d}" for i in range(100)], [np.full((18, 3), np.nan, np.float32)] * 100, 0.5
    )
    assert 20 < out.sum() < 80


def test_limit_counts_per_category_over_all_folders(tmp_path):
    folders = [tiny_shards(tmp_path / name, people=3) for name in ("a", "b")]
    dataset = TryOnDataset(folders, limit=4)
    assert Counter(row.category for row in dataset.rows) == dict.fromkeys(Category, 4)


def test_folders_of_two_sizes_are_refused(tmp_path):
    folders = [tiny_shards(tmp_path / "a", 1), tiny_shards(tmp_path / "b", 1, (96, 64))]
    with pytest.raises(DataError, match="96 x 64, expected 64 x 64"):
        TryOnDataset(folders)


def test_a_size_that_is_no_multiple_of_32_is_refused(tmp_path):
    with pytest.raises(DataError, match="72 x 64.*multiples of 32"):
        TryOnDataset([tiny_shards(tmp_path / "odd", 1, (72, 64))])


def test_unpaired_rows_show_another_garment(tmp_path):
    samples = [
        tiny_sample(Category.DRESSES, i, split="test_unpaired", garment=i + 1) for i in range(2)
    ]
    dataset = TryOnDataset([write_shards(tmp_path / "unpaired", samples)])
    assert dataset.rows[0].garment_id == "000001"
    for name, part in (("person", "photo"), ("garment", "garment")):
        mine, other = (to_tensor(getattr(sample, part)) for sample in samples)
        assert (dataset[0][name] - mine).abs().mean() < 0.05  # stored as JPEG: a few levels off
        assert (dataset[0][name] - other).abs().mean() > 0.2


def test_every_sample_once_in_an_epoch_whatever_the_processes():
    order = epoch_order([0] * 23, seed=1, epoch=4)
    for processes, batch, accumulate in ((1, 4, 1), (2, 3, 2), (3, 2, 3), (4, 5, 1)):
        plans = [plan_epoch(order, batch, accumulate, rank, processes) for rank in range(processes)]
        assert (
            len({(len(plan), *(len(update) for update in plan)) for plan in plans}) == 1
        )  # all keep step
        seen = [
            i
            for plan in plans
            for update in plan
            for micro in update
            if micro.weight
            for i in micro.indices
        ]
        assert sorted(seen) == list(range(23))
        for updates in zip(
            *plans
        ):  # mean over processes of weighted means = mean over the update's samples
            weights = sum(micro.weight for update in updates for micro in update) / processes
            assert weights == pytest.approx(1)
            assert all(
                [micro.last for micro in update] == [False] * (len(update) - 1) + [True]
                for update in updates
            )


def test_orders_differ_between_epochs_and_come_again_with_the_seed():
    assert not np.array_equal(epoch_order([0] * 50, 1, 0), epoch_order([0] * 50, 1, 1))
    assert np.array_equal(epoch_order([0] * 50, 1, 7), epoch_order([0] * 50, 1, 7))


def test_balanced_epochs_take_every_category_equally_and_all_of_the_rare_one():
    categories = [0] * 60 + [1] * 25 + [2] * 5
    order = epoch_order(categories, 0, 0, balanced=True)
    chosen = Counter(np.array(categories)[order].tolist())
    assert chosen == {0: 30, 1: 30, 2: 30}
    assert set(order) >= set(range(60, 90))
    assert len(set(order[order < 60].tolist())) == 30


def test_a_part_of_the_pairs_holds_as_many_of_each_category_as_can_be():
    categories = np.repeat([0, 1, 2], [40, 40, 5])
    chosen = chosen_evenly(categories, 30)
    assert np.array_equal(chosen, np.unique(chosen))
    assert np.bincount(categories[chosen]).tolist() == [12, 13, 5]
    assert chosen[0] == 0 and chosen[11] > 30, "a part is not the beginning of a category"
    assert np.array_equal(chosen_evenly(categories, 1000), np.arange(85))
    assert [len(chosen_evenly(categories, limit)) for limit in (1, 2, 3, 84)] == [1, 2, 3, 84]
    assert len(chosen_evenly([], 5)) == 0
