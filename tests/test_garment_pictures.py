"""One way for any picture of a garment into the frame, whoever asks for it."""

from __future__ import annotations

import numpy as np
import pytest
from page_server import tiny_studio
from PIL import Image
from tiny_dresscode import write_dataset

from model.page.studio import Selection
from model.tryon.orders import Piece, garment_picture
from pipeline.annotate.folder import DatasetFolder
from pipeline.annotate.job import Sources, annotate_folder
from pipeline.annotate.keypoints import Pose
from pipeline.annotate.person import SIZE_HW
from pipeline.annotate.photos import fit_garment, read_garment
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.people.in_dataset import DatasetPeople

ORIENTATION = 274  # EXIF
TURNED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""Orientation -> how a camera stores an upright picture under it."""


@pytest.fixture(scope="module")
def upright():
    """A shirt on a light ground, as a phone takes it: small, one sleeve red, one green."""
    picture = np.full((480, 320, 3), 235, np.uint8)
    picture[150:300, 90:210] = (40, 60, 160)
    picture[150:190, 60:90] = (200, 30, 30)
    picture[150:190, 210:240] = (30, 160, 30)
    return picture


def save(path, picture, mode="RGB", orientation=None):
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    image = Image.fromarray(np.ascontiguousarray(picture)).convert(mode)
    image.save(
        path, exif=exif, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {})
    )
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("garments") / "data")


def as_page(path, data):
    studio = tiny_studio(data)
    studio.network_hw = SIZE_HW
    return studio.garment(Selection(Category.UPPER_BODY, garment=path.read_bytes()))


def as_command(path, data):
    return garment_picture(DatasetPeople(data), Piece(str(path), Category.UPPER_BODY), SIZE_HW)


def as_annotate(path, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        DatasetFolder, "write_garment", lambda self, category, name, image: written.append(image)
    )
    nobody = Sources(find_pose=lambda photo: Pose(np.zeros((18, 3), np.float32), None, 0, "none"))
    with pytest.raises(DataError, match="no usable person"):
        annotate_folder([path], [path], tmp_path / "out", Category.UPPER_BODY, nobody)
    return written[0]


@pytest.mark.parametrize("kind", ["rgb.jpg", "turned.jpg", "cmyk.jpg", "grey.jpg", "clear.png"])
def test_command_page_and_annotate_give_equal_pixels(kind, upright, data, tmp_path, monkeypatch):
    path = tmp_path / kind
    mode = {"cmyk.jpg": "CMYK", "grey.jpg": "L", "clear.png": "RGBA"}.get(kind, "RGB")
    stored = TURNED[7](upright) if kind == "turned.jpg" else upright
    save(path, stored, mode, 7 if kind == "turned.jpg" else None)
    command = as_command(path, data)
    assert (as_page(path, data) == command).all()
    assert (as_annotate(path, tmp_path, monkeypatch) == command).all()
    things = np.abs(command.astype(int) - 235).max(2) > 40
    assert np.flatnonzero(things.any(0)).size > 0.8 * SIZE_HW[1]  # the shirt fills the frame


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_every_orientation_stands_upright(orientation, ending, upright, tmp_path):
    path = save(tmp_path / f"turned.{ending}", TURNED[orientation](upright), "RGB", orientation)
    found = read_garment(path, (128, 96)).astype(int)
    expected = read_garment(save(tmp_path / f"plain.{ending}", upright), (128, 96)).astype(int)
    assert np.abs(found - expected).mean() < 2
    assert np.abs(found[:, ::-1] - expected).mean() > 5  # the sleeves tell a mirrored picture


def test_a_datasets_picture_is_scaled_and_another_shape_is_framed(upright):
    shop = np.full((400, 300, 3), 255, np.uint8)
    shop[100:300, 140:160] = 0
    small = fit_garment(shop, (200, 150))
    assert (small[50:150, 70:80] == 0).all() and (small[:, :69] == 255).all()
    assert (fit_garment(upright, SIZE_HW) != 235).any(2).any(0).sum() > 0.8 * SIZE_HW[1]


def test_a_picture_inside_the_dataset_is_the_garment_of_its_id(data):
    people, identity = DatasetPeople(data), "000002"
    path = next((data / "upper_body/images").glob("*_1.jpg"))
    identity = path.name[:-6]
    by_path = garment_picture(people, Piece(str(path), Category.UPPER_BODY), (128, 96))
    by_name = garment_picture(people, Piece(identity, Category.UPPER_BODY), (128, 96))
    assert (by_path == by_name).all()
