"""``try-on``: visible pixels stay, garments come from anywhere, outfits are put on piece by
piece."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tiny import tiny_network, tiny_sample, write_shards
from tiny_dresscode import FIRST, SIZE_HW, write_dataset

from cli import main
from model.network.daflow import DAFlow
from model.tryon.dress import Look, try_on
from model.tryon.orders import Order, Piece, read_orders
from model.tryon.predictor import TryOn
from model.tryon.step import composite
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.people.in_dataset import DatasetPeople
from pipeline.people.source import parse_name

PERSON = f"{FIRST[Category.UPPER_BODY, 'test']:06}"
UPPER = f"{FIRST[Category.UPPER_BODY, 'test'] + 1:06}"
LOWER = f"{FIRST[Category.LOWER_BODY, 'test']:06}"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("tryon") / "data")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    network = DAFlow(tiny_network())
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save(
        {
            "config": {"network": network.config.to_dict(), "data": {"size": "128x96"}},
            "network": network.state_dict(),
        },
        path,
    )
    return path


class GarmentColour(torch.nn.Module):
    """Instead of a network: the middle colour of the garment all over; remembers what it was
    given."""

    def __init__(self):
        super().__init__()
        self.given: list[torch.Tensor] = []

    def forward(self, reference, garment, agnostic):
        self.given.append(agnostic)
        h, w = garment.shape[2:]
        return garment[:, :, h // 2, w // 2, None, None].expand_as(garment)


def dress(root, *orders: Order, look: Look | None = None, batch_size: int = 2):
    predictor, found = TryOn(GarmentColour()), []
    done = list(
        try_on(
            predictor,
            DatasetPeople(root),
            orders,
            look or Look((128, 96)),
            batch_size=batch_size,
            finish=found.append,
        )
    )
    names = [o.name for o in orders]
    assert [o.name for o in done] == names
    return sorted(found, key=lambda dressed: names.index(dressed.order.name)), predictor.network


def order(*garments: str, person: str = PERSON) -> Order:
    return Order(person, tuple(Piece(g) for g in garments))


def test_every_visible_pixel_is_the_photos_own(root):
    (dressed,), _ = dress(root, order(UPPER))
    photo = cv2.imread(str(root / f"upper_body/images/{PERSON}_0.jpg"))[..., ::-1]
    assert dressed.picture.shape == photo.shape == (*SIZE_HW, 3)
    assert dressed.mask.any() and not dressed.mask.all()
    assert (dressed.picture[~dressed.mask] == photo[~dressed.mask]).all()
    assert (dressed.picture[dressed.mask] != photo[dressed.mask]).any()


def test_seam_is_softer_than_pasting_and_uses_nothing_of_the_hidden_photo():
    photo = np.full((128, 96, 3), 120, np.uint8)
    mask = np.zeros((128, 96), bool)
    mask[40:90, 30:70] = True
    photo[mask] = (255, 0, 0)  # the old garment
    result = np.full_like(photo, 138)
    out = composite(photo, result, mask, seam_px=6)
    jump = lambda p: abs(int(p[64, 30, 0]) - int(p[64, 29, 0]))
    pasted = np.where(mask[..., None], result, photo)
    assert jump(out) < jump(pasted) / 2
    assert (
        out[64, 30:36, 0].astype(int)[1:] >= out[64, 30:36, 0].astype(int)[:-1]
    ).all()  # fades inwards
    assert (out[60:70, 45:55] == 138).all()
    other = photo.copy()
    other[mask] = (0, 255, 0)
    assert (composite(other, result, mask, seam_px=6) == out).all()


def test_another_thing_beside_the_mask_does_not_tint_the_result():
    photo, result = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    assert (composite(photo, result, mask)[mask] == 255).all()


def test_masks_without_a_seam_are_handled():
    photo, result = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 9, np.uint8)
    assert (composite(photo, result, np.zeros((32, 32), bool)) == photo).all()
    assert (composite(photo, result, np.ones((32, 32), bool)) == result).all()


def test_raw_output_is_the_networks_own_picture(root):
    (dressed,), _ = dress(root, order(UPPER), look=Look((128, 96), raw=True))
    assert np.ptp(dressed.picture.reshape(-1, 3), axis=0).max() == 0


def test_an_outfit_is_put_on_piece_by_piece(root):
    (outfit,), network = dress(root, order(UPPER, LOWER))
    (upper,), _ = dress(root, order(UPPER))
    assert [p.category for p in outfit.order.pieces] == [Category.UPPER_BODY, Category.LOWER_BODY]
    lower_mask = outfit.mask
    assert (outfit.picture[~lower_mask] == upper.picture[~lower_mask]).all()
    assert (outfit.picture[lower_mask] != upper.picture[lower_mask]).any()
    first, second = network.given
    assert (first != second).any()
    hidden_both = outfit.masks[0] & ~lower_mask
    small = cv2.resize(
        hidden_both.view(np.uint8), (96, 128), interpolation=cv2.INTER_NEAREST_EXACT
    ).astype(bool)
    assert (second[0, :, small] > -1).any()  # the new upper garment, seen by the second step


def test_lists_in_batches_give_what_single_orders_give(root):
    people = [order(UPPER), order(UPPER, LOWER), order(PERSON, person=UPPER)]
    together, _ = dress(root, *people, batch_size=3)
    for one, dressed in zip(people, together):
        (alone,), _ = dress(root, one, batch_size=1)
        assert (alone.picture == dressed.picture).all()


def test_result_takes_the_size_that_is_asked_for(root):
    (dressed,), _ = dress(root, order(UPPER), look=Look((128, 96), size_hw=(64, 48)))
    assert dressed.picture.shape == (64, 48, 3)
    photo = cv2.resize(
        cv2.imread(str(root / f"upper_body/images/{PERSON}_0.jpg"))[..., ::-1],
        (48, 64),
        interpolation=cv2.INTER_AREA,
    )
    assert (dressed.picture[~dressed.mask] == photo[~dressed.mask]).all()


def test_names_are_ids_with_or_without_folder_and_suffix():
    assert parse_name("000123") == (None, "000123") == parse_name("000123_1.jpg")
    assert parse_name("dresses/000123_0.jpg") == (Category.DRESSES, "000123")
    assert parse_name("shirt.png") is None and parse_name("hats/000123") is None


def test_lists_take_pairs_triplets_and_comments(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(
        "# outfits\n000001_0.jpg 000002_1.jpg 0\n000001 000002 013563\n\n"
        "000003 coat.png upper_body 013564 1"
    )
    orders = read_orders(path)
    assert orders[0] == Order("000001_0.jpg", (Piece("000002_1.jpg", Category.UPPER_BODY),))
    assert [p.garment for p in orders[1].pieces] == ["000002", "013563"]
    assert orders[2].pieces == (
        Piece("coat.png", Category.UPPER_BODY),
        Piece("013564", Category.LOWER_BODY),
    )
    path.write_text("000001\n")
    with pytest.raises(DataError, match="line 1: no garment"):
        read_orders(path)


def run(*arguments, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["try-on", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.output


def test_command_dresses_one_person_with_a_panel(root, weights, tmp_path):
    out = tmp_path / "deep" / "dressed.png"
    run(
        weights,
        "--data",
        root,
        "--person",
        PERSON,
        "--garment",
        UPPER,
        "--out",
        out,
        "--panel",
        "--device",
        "cpu",
    )
    assert Image.open(out).size == SIZE_HW[::-1]
    panel = Image.open(out.with_name("dressed-panel.png"))
    assert panel.width > 4 * SIZE_HW[1] * 0.9
    assert sorted(p.name for p in out.parent.iterdir()) == ["dressed-panel.png", "dressed.png"]


@pytest.mark.parametrize("plain", [True, False])
def test_a_garment_on_no_plain_ground_is_told(plain, root, weights, tmp_path):
    picture = np.full((320, 240, 3), 250, np.uint8)
    if not plain:
        picture[np.arange(320) // 40 % 2 == 0] = (90, 60, 30)  # a room
    picture[60:260, 50:190] = (20, 90, 200)
    Image.fromarray(picture).save(tmp_path / "worn.png")
    words = ["--data", root, "--person", PERSON, "--garment", tmp_path / "worn.png"]
    words += ["--category", "upper_body", "--out", tmp_path / "x.png", "--device", "cpu"]
    assert ("plain ground" in run(weights, *words)) != plain


def test_the_truth_stands_beside_a_result_only_where_the_photo_shows_the_garment(root):
    paired, other = (
        Order(PERSON, (Piece(garment, Category.UPPER_BODY),)) for garment in (PERSON, UPPER)
    )
    (same, unpaired), _ = dress(root, paired, other)
    assert list(same.columns()) == ["person", "garment", "masked", "result", "truth"]
    assert (same.columns()["truth"] == same.photo).all()
    assert list(unpaired.columns()) == ["person", "garment", "masked", "result"]


def test_a_sheet_shows_the_first_people_of_each_category(root, weights, tmp_path):
    sheet, other = tmp_path / "sheet.jpg", tmp_path / "one.png"
    common = (
        weights,
        "--data",
        root,
        "--split",
        "test_paired",
        "--device",
        "cpu",
        "--network-size",
        "64x64",
        "--stretch",
    )
    run(*common, "--out", tmp_path / "all", "--sheet", sheet)
    run(*common, "--out", tmp_path / "few", "--category", "dresses", "--sheet", other)
    assert Image.open(sheet).format == "JPEG" and Image.open(other).format == "PNG"
    assert Image.open(sheet).height > 2.5 * Image.open(other).height
    assert Image.open(sheet).width > 5 * 256 * SIZE_HW[1] / SIZE_HW[0]


def test_command_takes_a_picture_file_with_its_category(root, weights, tmp_path):
    Image.new("RGB", (300, 200), (0, 200, 0)).save(tmp_path / "top.png")
    common = (
        weights,
        "--data",
        root,
        "--person",
        root / f"upper_body/images/{PERSON}_0.jpg",
        "--garment",
        tmp_path / "top.png",
        "--out",
        tmp_path / "out.png",
        "--device",
        "cpu",
    )
    run(*common, "--category", "upper_body")
    assert (tmp_path / "out.png").is_file()
    assert "--category" in run(*common, code=1)


def test_wrong_category_empty_choice_and_a_pictures_name_for_a_list_are_told(
    root, weights, tmp_path
):
    one = (
        weights,
        "--data",
        root,
        "--person",
        PERSON,
        "--garment",
        UPPER,
        "--out",
        tmp_path / "out.png",
    )
    assert f"{UPPER}: a garment of upper_body, expected one of dresses" in run(
        *one, "--category", "dresses", code=1
    )
    folder = write_shards(tmp_path / "shards", [tiny_sample(Category.DRESSES, 0)])
    shards = (weights, "--shards", folder, "--split", "test_unpaired", "--out")
    assert "shards of train, expected test_unpaired" in run(*shards, tmp_path / "out", code=1)
    assert "a folder for a list" in run(*shards, tmp_path / "out.png", code=2)
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.png").exists()


def test_command_dresses_the_pairs_of_a_split_and_of_shards(root, weights, tmp_path):
    assert "6 dressed" in run(
        weights,
        "--data",
        root,
        "--split",
        "test_unpaired",
        "--out",
        tmp_path / "split",
        "--device",
        "cpu",
        "--network-size",
        "64x64",
        "--stretch",
    )
    assert len(list((tmp_path / "split").glob("*.png"))) == 6
    folder = write_shards(
        tmp_path / "shards", [tiny_sample(c, i) for c in Category for i in range(2)]
    )
    assert "3 dressed" in run(
        weights, "--shards", folder, "--limit", 1, "--out", tmp_path / "own", "--device", "cpu"
    )
    sample = tiny_sample(Category.DRESSES, 0)
    found = cv2.imread(str(tmp_path / "own/dresses-000000_dresses-000000.png"))[..., ::-1]
    visible = ~sample.masks["standard"]
    assert np.abs(found[visible].astype(int) - sample.photo[visible]).mean() < 6  # stored as JPEG


def test_one_bad_line_of_a_list_is_told_and_the_others_are_dressed(root, weights, tmp_path):
    (tmp_path / "list.txt").write_text(f"{PERSON} {UPPER}\n999999 {UPPER}\n{UPPER} {PERSON}\n")
    out = run(
        weights,
        "--data",
        root,
        "--pairs",
        tmp_path / "list.txt",
        "--out",
        tmp_path / "dressed",
        "--device",
        "cpu",
        code=1,
    )
    assert "2 dressed, 1 left out" in out and "999999" in out
    assert len(list((tmp_path / "dressed").iterdir())) == 2


@pytest.mark.parametrize(
    "change, told",
    [
        (("--person", "999999"), "no person 999999"),
        (("--garment", "999999"), "no garment 999999"),
        (("--person", "elsewhere.jpg"), "annotate"),
        (("--garment", "gone.png", "--category", "upper_body"), "gone.png"),
    ],
)
def test_what_is_not_there_is_told_by_name(root, weights, tmp_path, monkeypatch, change, told):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (30, 40)).save(tmp_path / "elsewhere.jpg")
    options = {"--person": PERSON, "--garment": UPPER} | dict(zip(change[::2], change[1::2]))
    out = run(
        weights,
        "--data",
        root,
        *(word for pair in options.items() for word in pair),
        "--out",
        tmp_path / "x.png",
        "--device",
        "cpu",
        code=1,
    )
    assert told in out and not (tmp_path / "x.png").exists()


def test_a_broken_annotation_leaves_no_result(root, weights, tmp_path):
    data = write_dataset(tmp_path / "data", categories=(Category.UPPER_BODY,))
    (data / f"upper_body/keypoints/{PERSON}_2.json").write_text(
        json.dumps({"keypoints": [[0, 0, 1, 0]] * 17})
    )
    assert "17" in run(
        weights,
        "--data",
        data,
        "--person",
        PERSON,
        "--garment",
        UPPER,
        "--out",
        tmp_path / "x.png",
        "--device",
        "cpu",
        code=1,
    )
    assert not (tmp_path / "x.png").exists()


def test_real_people_wear_each_others_garments(real_people):
    """A network without published weights: what is tested is that nothing visible changes, for
    every category."""
    found, orders = [], []
    for category in Category:
        for other in Category:
            ids = [
                sorted((real_people / c / "images").glob("*_0.jpg"))[0].name[:-6]
                for c in (category, other)
            ]
            orders.append(Order(f"{category}/{ids[0]}", (Piece(f"{other}/{ids[1]}"),)))
    list(
        try_on(
            TryOn(GarmentColour()),
            DatasetPeople(real_people),
            orders,
            Look((128, 96)),
            finish=found.append,
        )
    )
    assert len(found) == 9
    for dressed in found:
        assert 0.03 < dressed.mask.mean() < 0.6
        assert (dressed.picture[~dressed.mask] == dressed.photo[~dressed.mask]).all()


def test_sizes_that_distort_people_are_refused(tmp_path):
    """The same slip in every command that takes a size."""
    words = ["try-on", "drawn", "--data", str(tmp_path), "--person", "1", "--garment", "2"]
    for option, size, told in (
        ("--size", "192x256", "Write 256x192"),
        ("--network-size", "192x256", "Write 256x192"),
        ("--size", "500x300", "--stretch"),
    ):
        result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "a.png"), option, size])
        assert result.exit_code == 1 and told in " ".join(result.output.split()), result.output
    result = CliRunner().invoke(
        main, ["export", "drawn", str(tmp_path / "a.onnx"), "--size", "96x128"]
    )
    assert result.exit_code == 1 and "Write 128x96" in " ".join(result.output.split())
