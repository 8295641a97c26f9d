"""Readers give the arrays that they promise, and say clearly what is wrong with a file."""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_dresscode import draw_person, save_palette, write_person

from pipeline.base.errors import DataError
from pipeline.base.files import MAX_PIXELS, image_size
from pipeline.base.labels import Category, Joint
from pipeline.dataset.readers import (
    read_dense,
    read_dense_uv,
    read_image,
    read_keypoints,
    read_label_map,
)

FRAME = (512, 384)


@pytest.fixture(scope="module")
def person(tmp_path_factory):
    root = tmp_path_factory.mktemp("person")
    write_person(root, Category.DRESSES, "020714")
    return root / "dresses"


def keypoint_file(tmp_path, change=None, **content):
    rows = [[float(10 * i), float(20 * i), 0.9, float(28 - i)] for i in range(18)]
    if change:
        change(rows)
    path = tmp_path / "000000_2.json"
    path.write_text(json.dumps(content or {"keypoints": rows}))
    return path


# Label maps and DensePose


def test_palette_index_is_the_class_and_not_the_colour(person):
    expected = draw_person(Category.DRESSES, 20714)["label_map"]
    path = person / "label_maps/020714_4.png"
    assert np.array_equal(read_label_map(path), expected)
    assert not np.array_equal(
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), expected
    )  # the trap is really there


def test_grey_png_of_class_numbers_is_a_label_map_too(tmp_path):
    labels = np.arange(18, dtype=np.uint8).repeat(64).reshape(48, 24)[:32]
    Image.fromarray(labels).save(tmp_path / "map.png")
    assert np.array_equal(read_label_map(tmp_path / "map.png"), labels)


def test_packed_palettes_of_few_colours_give_indices(tmp_path):
    labels = np.tile(np.uint8([[0, 1], [2, 3]]), (20, 15))
    picture = Image.new("P", (30, 40))
    picture.putdata(labels.ravel().tolist())
    picture.putpalette([9, 9, 9, 8, 8, 8, 7, 7, 7, 6, 6, 6])
    picture.save(tmp_path / "map.png", bits=2)
    assert np.array_equal(read_label_map(tmp_path / "map.png"), labels)


def test_dense_holds_part_numbers(person):
    dense = read_dense(person / "dense/020714_5.png")
    assert dense.dtype == np.uint8 and np.array_equal(
        dense, draw_person(Category.DRESSES, 20714)["dense"]
    )


def test_maps_shrink_without_inventing_labels_and_as_pillow_does(person):
    path = person / "label_maps/020714_4.png"
    small = read_label_map(path, (128, 96))
    assert small.shape == (128, 96) and set(np.unique(small)) <= set(
        np.unique(read_label_map(path))
    )
    assert np.array_equal(small, Image.open(path).resize((96, 128), Image.Resampling.NEAREST))


@pytest.mark.parametrize(
    "read, value, allowed",
    [
        (read_label_map, 25, "0 to 17"),
        (read_label_map, 18, "0 to 17"),
        (read_dense, 30, "0 to 24"),
        (read_dense, 255, "0 to 24"),
    ],
)
def test_labels_outside_the_set_are_refused(tmp_path, read, value, allowed):
    labels = np.zeros((64, 48), np.uint8)
    labels[3, 4] = value
    Image.fromarray(labels).save(tmp_path / "x.png")
    with pytest.raises(DataError, match=f"x.png: label {value}, expected {allowed}"):
        read(tmp_path / "x.png")


@pytest.mark.parametrize("read", [read_label_map, read_dense])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "1", "LA"])
def test_maps_of_another_mode_are_refused(tmp_path, read, mode):
    Image.new(mode, (48, 64)).save(tmp_path / "x.png")
    with pytest.raises(
        DataError, match=r"x.png: a PNG of mode .*expected .*Export the numbers, not their colours"
    ):
        read(tmp_path / "x.png")


def test_dense_refuses_a_palette_whose_indices_mean_nothing(tmp_path):
    save_palette(tmp_path / "x.png", np.zeros((64, 48), np.uint8))
    with pytest.raises(DataError, match="mode P, expected a grey PNG"):
        read_dense(tmp_path / "x.png")


def test_maps_of_another_shape_than_the_photos_are_refused(tmp_path):
    Image.new("L", (700, 700)).save(tmp_path / "x.png")
    with pytest.raises(
        DataError, match="700 x 700 .*expected 1024 x 768, or another size of that shape"
    ):
        read_dense(tmp_path / "x.png", (64, 48))


# Keypoints


def test_keypoints_are_scaled_from_their_own_frame(tmp_path):
    path = keypoint_file(tmp_path)
    large, small = read_keypoints(path, (1024, 768)), read_keypoints(path, (256, 192))
    assert large.shape == (18, 3) and large.dtype == np.float32
    assert np.allclose(large[3], (60, 120, 0.9)) and np.allclose(small[3], (15, 30, 0.9))


def test_missing_joint_is_nan_with_score_zero(tmp_path):
    path = keypoint_file(tmp_path, lambda rows: rows.__setitem__(Joint.L_WRIST, [-1, -1, 0, -1]))
    keypoints = read_keypoints(path, FRAME)
    assert np.isnan(keypoints[Joint.L_WRIST, :2]).all() and keypoints[Joint.L_WRIST, 2] == 0
    assert np.isfinite(np.delete(keypoints, Joint.L_WRIST, axis=0)).all()


def test_the_row_is_the_joint_whatever_the_running_id(tmp_path):
    forward = read_keypoints(keypoint_file(tmp_path), FRAME)
    shuffled = read_keypoints(
        keypoint_file(tmp_path, lambda rows: [r.__setitem__(3, 7.0) for r in rows]), FRAME
    )
    assert np.array_equal(forward, shuffled)


def test_scores_above_one_are_fine(tmp_path):
    path = keypoint_file(tmp_path, lambda rows: rows[2].__setitem__(2, 1.076))
    assert read_keypoints(path, FRAME)[2, 2] == np.float32(1.076)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows.pop(), "17 joints, expected 18 in the order of OpenPose COCO-18"),
        (
            lambda rows: rows[4].__setitem__(0, float("nan")),
            r"row 4 is \[nan.*expected finite numbers",
        ),
        (
            lambda rows: rows[4].__setitem__(1, float("inf")),
            r"row 4 is .*inf.*expected finite numbers",
        ),
        (lambda rows: rows[4].__setitem__(1, 10**400), "row 4 is .*expected finite numbers"),
        (lambda rows: rows[4].__setitem__(1, "12"), "row 4 is .*expected four numbers"),
        (lambda rows: rows[4].__setitem__(1, True), "row 4 is .*expected four numbers"),
        (lambda rows: rows[4].__setitem__(1, None), "row 4 is .*expected four numbers"),
        (lambda rows: rows.__setitem__(4, [1, 2]), r"row 4 is \[1, 2\].*expected four numbers"),
        (lambda rows: rows.__setitem__(4, {"x": 1}), "row 4 is .*expected four numbers"),
        (
            lambda rows: rows[17].__setitem__(1, 816.0),
            "a joint at x 170, y 816, expected coordinates in a frame 384 wide",
        ),
    ],
)
def test_wrong_keypoints_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match="000000_2.json: " + message):
        read_keypoints(keypoint_file(tmp_path, change), FRAME)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "not readable as JSON"),
        ("[" * 200_000, "not readable as JSON"),
        ("[]", 'no list called "keypoints"'),
        ('{"people": []}', 'no list called "keypoints"'),
        ('{"keypoints": 3}', 'no list called "keypoints"'),
        ('{"keypoints": []}', "0 joints"),
        ("\ud800".encode("utf-8", "surrogatepass"), "not readable as JSON"),
        ("1" * 5000, "not readable as JSON"),
        (" " * 2_000_000, "2,000,000 bytes, expected at most"),
    ],
)
def test_strange_json_is_refused(tmp_path, text, message):
    path = tmp_path / "k.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        read_keypoints(path, FRAME)


# Photos


def test_photo_is_rgb_in_that_order(tmp_path):
    Image.new("RGB", (48, 64), (200, 100, 20)).save(tmp_path / "x.jpg", quality=95)
    image = read_image(tmp_path / "x.jpg")
    assert image.shape == (64, 48, 3) and image.dtype == np.uint8
    assert np.abs(image.reshape(-1, 3).mean(axis=0) - (200, 100, 20)).max() < 3


def test_photo_shrinks_by_averaging_and_the_fast_way_hardly_differs(person):
    path = person / "images/020714_0.jpg"
    full = read_image(path, (128, 96))
    assert np.array_equal(
        full, cv2.resize(read_image(path), (96, 128), interpolation=cv2.INTER_AREA)
    )
    fast = read_image(path, (128, 96), reduced=True)
    assert fast.shape == full.shape and cv2.PSNR(full, fast) > 40


def test_orientation_tags_are_ignored_as_the_annotations_ignore_them(tmp_path):
    picture = Image.fromarray(np.uint8([[[250, 0, 0]] * 8, [[0, 0, 250]] * 8]).repeat(8, axis=0))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    picture.save(tmp_path / "plain.jpg", quality=95)
    assert np.array_equal(read_image(tmp_path / "turned.jpg"), read_image(tmp_path / "plain.jpg"))
    assert image_size(tmp_path / "turned.jpg") == (16, 8)


@pytest.mark.parametrize(
    "mode, name", [("L", "x.jpg"), *((mode, "x.png") for mode in ("L", "P", "LA", "1"))]
)
def test_grey_and_palette_pictures_become_rgb(tmp_path, mode, name):
    Image.new("L", (8, 16), 255).convert(mode).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.shape == (16, 8, 3) and (image == 255).all()


def test_photo_of_another_shape_is_refused_where_annotations_refer_to_it(person, tmp_path):
    Image.open(person / "images/020714_0.jpg").rotate(90, expand=True).save(tmp_path / "x.jpg")
    assert read_image(tmp_path / "x.jpg", (64, 48)).shape == (64, 48, 3)
    with pytest.raises(
        DataError,
        match=r"x.jpg: 192 x 256 \(height x width\), expected 1024 x 768, or another size",
    ):
        read_image(tmp_path / "x.jpg", (64, 48), framed=True)


def test_transparency_is_put_on_white(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png") == 255).all()


def test_modes_without_one_meaning_are_refused(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "x.jpg")
    with pytest.raises(DataError, match="a JPEG of mode CMYK, expected RGB. Convert it to RGB"):
        read_image(tmp_path / "x.jpg")
    Image.new("I;16", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="expected 8 bits a channel"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_truncated_jpeg_is_refused_wherever_it_ends(person, tmp_path, share):
    data = (person / "images/020714_0.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        DataError, match="x.jpg: (a truncated JPEG|not a readable|corrupted).*leave the person out"
    ):
        read_image(tmp_path / "x.jpg")


def test_a_thumbnails_end_marker_does_not_hide_truncation(person, tmp_path):
    data = (person / "images/020714_0.jpg").read_bytes()
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(data[:9000])) + data[:8998] + b"\xff\xd9"
    (tmp_path / "x.jpg").write_bytes(data[:2] + comment + data[2:-900])
    with pytest.raises(DataError, match="x.jpg: (a truncated JPEG|corrupted or truncated)"):
        read_image(tmp_path / "x.jpg")


def test_bytes_after_the_end_marker_do_no_harm(person, tmp_path):
    data = (person / "images/020714_0.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(data + bytes(300))
    assert np.array_equal(
        read_image(tmp_path / "x.jpg"), read_image(person / "images/020714_0.jpg")
    )


def test_truncated_png_is_refused(person, tmp_path):
    for name, read in (
        ("label_maps/020714_4.png", read_label_map),
        ("dense/020714_5.png", read_dense),
        ("dense/020714_5.png", read_image),
    ):
        data = (person / name).read_bytes()
        (tmp_path / "x.png").write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError, match=r"x.png: .*\(.*[Tt]runcated.*expected a whole"):
            read(tmp_path / "x.png")


def png_header(width, height, mode=0):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("read", [read_label_map, read_dense, read_image, image_size])
@pytest.mark.parametrize("width, height", [(60_000, 60_000), (8000, 8000), (2**31 - 1, 2**31 - 1)])
def test_picture_too_large_is_refused_from_its_header(tmp_path, read, width, height):
    (tmp_path / "bomb.png").write_bytes(png_header(width, height))
    with pytest.raises(DataError, match=f"at most {MAX_PIXELS:,} pixels"):
        read(tmp_path / "bomb.png")


def test_jpeg_of_too_many_scans_is_refused(person, tmp_path):
    data = (person / "images/020714_0.jpg").read_bytes()
    at = data.find(b"\xff\xda")
    (tmp_path / "x.jpg").write_bytes(data[:at] + data[at : at + 14] * 200 + data[at:])
    with pytest.raises(DataError, match="a JPEG of 201 scans, expected some ten"):
        read_image(tmp_path / "x.jpg")


# Surface coordinates


def npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def test_surface_coordinates_are_read(person):
    uv = read_dense_uv(person / "dense/020714_5_uv.npz")
    assert uv.shape == (2, 256, 192) and uv.dtype == np.float32 and set(np.unique(uv)) == {0, 0.5}


@pytest.mark.parametrize(
    "array, message",
    [
        (
            np.zeros((2, 64), np.float32),
            r"an array of shape \(2, 64\), expected \(2, height, width\)",
        ),
        (np.zeros((3, 64, 48), np.float32), r"an array of shape \(3, 64, 48\)"),
        (np.zeros((2, 0, 48), np.float32), r"an array of shape \(2, 0, 48\)"),
        (np.zeros((2, 64, 48), np.int64), "an array of type int64, expected float32"),
        (np.zeros((2, 64, 48), "U3"), "an array of type <U3, expected float32"),
        (np.full((2, 64, 48), np.nan, np.float32), "values from nan to nan, expected about 0 to 1"),
        (np.full((2, 64, 48), np.inf, np.float32), "values from inf to inf"),
        (np.full((2, 64, 48), 255, np.float32), "values from 255 to 255"),
        (np.zeros((2, 4096, 4096), np.float16), "4096 x 4096 pixels, expected at most"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, message):
    with pytest.raises(DataError, match="x.npz: " + message):
        read_dense_uv(npz(tmp_path / "x.npz", uv=array))


class Trap:
    def __reduce__(self):
        return os.mkdir, ("/tmp/unpickled-by-mistake",)


def test_nothing_is_unpickled(tmp_path):
    trap = np.empty(1, object)
    trap[0] = Trap()
    np.savez(tmp_path / "x.npz", uv=trap)
    with pytest.raises(DataError, match="an array of type object"):
        read_dense_uv(tmp_path / "x.npz")
    assert not os.path.exists("/tmp/unpickled-by-mistake")


def test_archive_without_the_array_or_no_archive_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a readable .npz with an array uv"):
        read_dense_uv(npz(tmp_path / "x.npz", iuv=np.zeros(3)))
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataError, match="not a readable .npz"):
        read_dense_uv(tmp_path / "x.npz")


@pytest.mark.parametrize("claimed", [(2, 64, 48), (2, 100, 100)])
def test_array_of_another_length_than_claimed_is_refused(tmp_path, claimed):
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "<f4", "fortran_order": False, "shape": claimed}
    )
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("uv.npy", member.getvalue() + bytes(2 * 64 * 50 * 4))
    with pytest.raises(DataError, match="another length than its header says"):
        read_dense_uv(tmp_path / "x.npz")


# Files in general

READERS = [
    read_image,
    read_label_map,
    read_dense,
    read_dense_uv,
    lambda path: read_keypoints(path, FRAME),
    image_size,
]


@pytest.mark.parametrize("read", READERS)
def test_missing_empty_and_special_files_are_named_without_waiting(tmp_path, read):
    with pytest.raises(DataError, match="gone: no such file"):
        read(tmp_path / "gone")
    with pytest.raises(DataError, match="not a regular file"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: not a regular file"):
        read(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty: an empty file, expected content"):
        read(tmp_path / "empty")


@pytest.mark.parametrize("read", READERS)
def test_huge_files_are_refused_before_they_are_read(tmp_path, read):
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(200 << 30)  # sparse: takes no space
    with pytest.raises(DataError, match="bytes, expected at most"):
        read(tmp_path / "huge")


def test_errors_travel_from_workers_with_their_kind(tmp_path):
    with pytest.raises(DataError) as caught:
        read_image(tmp_path / "gone.jpg")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.kind == "missing"


def test_real_files_are_read(real_people):
    folder = real_people / "upper_body"
    assert read_image(folder / "images/000000_0.jpg", (512, 384)).shape == (512, 384, 3)
    assert {4, 6, 14} <= set(np.unique(read_label_map(folder / "label_maps/000000_4.png")))
    assert read_dense(folder / "dense/000000_5.png").max() == 24
    assert read_dense_uv(folder / "dense/000000_5_uv.npz").shape == (2, 1024, 768)
    keypoints = read_keypoints(folder / "keypoints/000000_2.json", (1024, 768))
    assert keypoints[Joint.NECK, :2].tolist() == [350, 120]
