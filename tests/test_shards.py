"""A shard gives back what was packed, says so when it can't, and can be read with h5py and its page
alone."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from folders import contents, ended, in_process
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from tiny import tiny_sample
from tiny_dresscode import write_dataset

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import Person
from pipeline.preprocess.run import preprocess
from pipeline.shards import format as shard_format
from pipeline.shards.checksums import content_checksum
from pipeline.shards.folder import (
    ShardFolder,
    ShardInfo,
    ShardReader,
    ShardWriter,
    read_index,
)
from pipeline.shards.format import (
    decode_jpeg,
    decode_mask,
    decode_png,
    encode_jpeg,
    encode_mask,
    encode_png,
)

SIZE = (64, 96)
STYLES = ("standard", "tight")


def sample(number: int, size=SIZE) -> Person:
    rng = np.random.default_rng(number)
    picture = lambda: cv2.resize(
        rng.integers(0, 256, (4, 6, 3), np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC
    )
    joints = rng.uniform(0, 60, (18, 3)).astype(np.float32)
    joints[number % 18] = np.nan, np.nan, 0
    return Person(
        Identity(Category.DRESSES, "test_unpaired", f"{number:06d}", f"{number + 7:06d}"),
        photo=picture(),
        garment=picture(),
        masks={s: rng.random(size) < 0.3 for s in STYLES},
        keypoints=joints,
        label_map=rng.integers(0, 18, size, np.uint8) if number % 2 else None,
        dense_i=rng.integers(0, 25, size, np.uint8) if number % 3 else None,
    )


def write(path: Path, images: str, numbers=range(5)) -> Path:
    info = ShardInfo(
        Category.DRESSES, "test_unpaired", SIZE, images, STYLES, 1, "Drawn", "test", "free"
    )
    with ShardWriter(path, info) as writer:
        for number in numbers:
            writer.add(sample(number))
    return path


@pytest.fixture(params=["jpeg", "raw"])
def shard(request, tmp_path):
    return write(tmp_path / "shard.h5", request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("folder")
    root = write_dataset(base / "data", train=5)
    preprocess(root, base / "shards", size_hw=(64, 64), people_per_shard=2)
    return base / "shards"


def test_every_sample_comes_back_as_it_was_packed(shard):
    reader = ShardReader(shard)
    assert len(reader) == 5
    for number in range(5):
        packed, read = sample(number), reader[number]
        assert read.who == packed.who
        assert np.array_equal(read.keypoints, packed.keypoints, equal_nan=True)
        for style in STYLES:
            assert read.masks[style].dtype == bool and np.array_equal(
                read.masks[style], packed.masks[style]
            )
        for name in ("label_map", "dense_i"):
            there, expected = getattr(read, name), getattr(packed, name)
            assert (there is None) == (expected is None) and (
                expected is None or np.array_equal(there, expected)
            )
        for name in ("photo", "garment"):
            error = np.abs(getattr(read, name).astype(int) - getattr(packed, name))
            assert error.max() <= (0 if reader.info.images == "raw" else 12)


def test_jpeg_keeps_the_edges_of_coloured_cloth():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, 1::2] = (
        255,
        0,
        0,
    )  # one-pixel red stripes on black: halved chroma would smear them into one brown
    error = np.abs(decode_jpeg(encode_jpeg(stripes), (64, 64)).astype(int) - stripes)
    assert error.mean() < 5


@pytest.mark.parametrize(
    "sampling", [cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
)
@pytest.mark.parametrize("size", [(64, 96), (61, 35)])
def test_every_decoder_gives_the_same_pixels_where_they_are_wanted(monkeypatch, size, sampling):
    pytest.importorskip("simplejpeg")
    picture = sample(3, size).photo
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])[1].reshape(
        -1
    )
    found = []
    for decoder in (shard_format.simplejpeg, None):
        monkeypatch.setattr(shard_format, "simplejpeg", decoder)
        place = np.zeros((*size, 3), np.uint8)
        assert decode_jpeg(data, size, place) is place
        assert np.array_equal(decode_jpeg(data, size), place)
        found.append(place)
    assert np.array_equal(*found) and np.abs(found[0].astype(int) - picture[..., ::-1]).mean() < 12


@settings(max_examples=200, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.floats(0, 1),
    grain=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_masks_are_decoded_as_coco_decodes_them(height, width, share, grain, seed):
    coarse = np.random.default_rng(seed).random((height, width)) < share
    mask = np.kron(coarse, np.ones((grain, grain), bool))[: height * 7, : width * 5]
    code = encode_mask(mask)
    decoded = decode_mask(code, mask.shape)
    assert decoded.dtype == bool and np.array_equal(decoded, mask)
    assert np.array_equal(
        decoded, coco.decode({"size": list(mask.shape), "counts": code.tobytes()})
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (8192, 8192)])
@pytest.mark.parametrize("value", [False, True])
def test_masks_of_one_value_come_back(size, value):
    assert (decode_mask(encode_mask(np.full(size, value)), size) == value).all()


@pytest.mark.parametrize(
    "code", [b"", b"P", b"0P", b"\x2f", b"p", b"o" * 40 + b"0", b"oooooooO", b"n", b"0ooo?ooo?"]
)
def test_a_damaged_mask_is_an_error(code):
    with pytest.raises(ValueError, match="mask"):
        decode_mask(np.frombuffer(code, np.uint8), (64, 96))


def test_pictures_can_be_read_into_given_memory(shard):
    reader, place = ShardReader(shard), np.zeros((*SIZE, 3), np.uint8)
    for read in (reader.photo, reader.garment):
        assert read(2, out=place) is place and np.array_equal(place, read(2))


def test_parts_can_be_read_alone_and_from_the_end(shard):
    reader = ShardReader(shard)
    assert np.array_equal(reader.photo(-1), reader[4].photo)
    assert np.array_equal(reader.mask(-2, "tight"), reader[3].masks["tight"])
    assert reader.label_map(0) is None and reader.dense(0) is None
    assert [who.key for who in reader.names] == [f"dresses/{n:06d}" for n in range(5)]
    with pytest.raises(IndexError):
        reader[5]
    with pytest.raises(DataError, match="loose.*standard or tight"):
        reader.mask(0, "loose")


def test_changing_what_was_read_changes_nothing_in_the_reader(shard):
    reader = ShardReader(shard)
    reader.keypoints(0)[:] = 5
    assert np.array_equal(reader.keypoints(0), sample(0).keypoints, equal_nan=True)


def test_equal_samples_give_equal_bytes(tmp_path):
    for images in ("jpeg", "raw"):
        assert (
            write(tmp_path / "a.h5", images).read_bytes()
            == write(tmp_path / "b.h5", images).read_bytes()
        )


def test_a_shard_without_people_can_be_read(tmp_path):
    for images in ("jpeg", "raw"):
        assert len(ShardReader(write(tmp_path / f"{images}.h5", images, []))) == 0


def test_an_error_while_packing_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="photo of 000001 has shape"):
        write_one_of_another_size(tmp_path / "shard.h5")
    assert list(tmp_path.iterdir()) == []


def write_one_of_another_size(path):
    info = ShardInfo(Category.DRESSES, "train", SIZE, "jpeg", STYLES, 1)
    with ShardWriter(path, info) as writer:
        writer.add(sample(0))
        writer.add(sample(1, (32, 32)))


@pytest.mark.parametrize("options", [{"userblock_size": 512}, {}])
@pytest.mark.parametrize("chunks", [None, (64,)])
def test_a_shard_that_other_software_has_written_anew_reads_the_same(
    shard, tmp_path, options, chunks
):
    with h5py.File(shard) as old, h5py.File(tmp_path / "new.h5", "w", **options) as new:
        new.attrs.update(old.attrs)
        names: list[str] = []
        old.visit(names.append)
        for name in (name for name in names if isinstance(old[name], h5py.Dataset)):
            new.create_dataset(
                name, data=old[name][()], chunks=chunks if name.endswith("/bytes") else None
            )
    for one, other in zip(ShardReader(shard), ShardReader(tmp_path / "new.h5"), strict=True):
        assert np.array_equal(one.photo, other.photo) and np.array_equal(one.garment, other.garment)
        assert all(np.array_equal(one.masks[style], other.masks[style]) for style in STYLES)


def test_a_shard_that_is_cut_while_it_is_open_is_an_error(tmp_path):
    path = write(tmp_path / "shard.h5", "jpeg")
    reader = ShardReader(path)
    os.truncate(path, reader._places["garment"] + 9)
    reader.photo(4)
    with pytest.raises(DataError, match=r"shard\.h5: garment picture .* has been cut off"):
        reader.garment(0)


def test_a_reader_travels_to_other_processes(shard):
    reader = ShardReader(shard)
    reader.photo(0)  # open by now
    assert np.array_equal(pickle.loads(pickle.dumps(reader)).photo(1), reader.photo(1))
    children = [
        in_process(lambda: [reader[i] for _ in range(20) for i in range(5)]) for _ in range(2)
    ]
    assert [ended(child) for child in children] == [0, 0]
    assert np.array_equal(reader.garment(2), ShardReader(shard).garment(2))


@pytest.mark.parametrize("keep", [0, 7, 500, -1])
def test_a_cut_shard_is_an_error_that_names_it(shard, keep):
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"shard\.h5.*Run preprocess again"):
        ShardReader(shard)[4]


def test_a_missing_shard_and_a_foreign_file_are_errors(tmp_path):
    with pytest.raises(DataError, match="no such shard"):
        ShardReader(tmp_path / "none.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="not a shard"):
        ShardReader(tmp_path / "other.h5")


def change(path: Path, name: str, value) -> None:
    with h5py.File(path, "a") as file:
        if name in file.attrs:
            file.attrs[name] = value
        else:
            del file[name]
            file[name] = value


@pytest.mark.parametrize(
    "name, value, told",
    [
        ("format_version", 99, "format version 99"),
        ("size_hw", [10**6, 10**6], "size 1000000x1000000"),
        ("samples", 4, "person_id is not as expected"),
        ("samples", 10**12, "1000000000000 samples"),
        ("keypoints", np.zeros((5, 17, 3), np.float32), "keypoints is not as expected"),
        ("person/offsets", np.array([0, 5, 3, 9, 10, 11]), "person/offsets are damaged"),
        ("person/offsets", np.array([0, 5, 6, 9, 10, 10**15]), "person/offsets are damaged"),
        ("mask/tight/offsets", h5py.ExternalLink("/etc/hostname", "x"), "is no readable shard"),
    ],
)
def test_a_manipulated_header_is_an_error(tmp_path, name, value, told):
    path = write(tmp_path / "shard.h5", "jpeg")
    change(path, name, value)
    with pytest.raises(DataError, match=told):
        ShardReader(path)


@pytest.mark.parametrize("decoder", ["simplejpeg", "OpenCV"])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=200), at=st.integers(0, 400), flip=st.integers(1, 255))
def test_damaged_bytes_are_an_error_or_a_picture_of_the_right_size(
    monkeypatch, decoder, data, at, flip
):
    if decoder == "OpenCV":
        monkeypatch.setattr(shard_format, "simplejpeg", None)
    good = sample(1)
    for encode, decode, value, shape in (
        (encode_jpeg, decode_jpeg, good.photo, (*SIZE, 3)),
        (encode_png, decode_png, good.label_map, SIZE),
        (encode_mask, decode_mask, good.masks["tight"], SIZE),
    ):
        changed = encode(value).copy()
        changed[at % len(changed)] ^= flip
        for bytes_ in (changed, changed[:at], np.frombuffer(data, np.uint8)):
            try:
                found = decode(bytes_, SIZE)
            except (ValueError, cv2.error):
                continue
            assert found is None or found.shape == shape


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    huge = cv2.imencode(".png", np.zeros((9000, 9000), np.uint8))[1].reshape(-1)
    with pytest.raises(ValueError, match="no grey PNG of 64x96"):
        decode_png(huge, SIZE)
    with pytest.raises(ValueError, match="a JPEG of 3000x3000"):
        decode_jpeg(cv2.imencode(".jpg", np.zeros((3000, 3000, 3), np.uint8))[1].reshape(-1), SIZE)
    jpeg = cv2.imencode(".jpg", sample(1).photo, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode_jpeg(np.frombuffer(jpeg, np.uint8), SIZE).shape == (*SIZE, 3)
    scan = jpeg[(at := jpeg.find(b"\xff\xda")) : jpeg.find(b"\xff\xda", at + 2)]
    with pytest.raises(ValueError, match="too many scans"):
        decode_jpeg(np.frombuffer(jpeg[:at] + scan * 200 + jpeg[at:], np.uint8), SIZE)


def test_a_folder_is_one_sequence_in_the_order_of_its_index(folder):
    shards = ShardFolder(folder)
    assert len(shards) == 15 and shards.size_hw == (64, 64) and shards.split == "train"
    assert [r.key for r in shards.names] == [s.who.key for s in shards]
    assert shards.styles == ShardReader(folder / "dresses-00002.h5").styles
    assert shards[-1].who.person_id == ShardReader(folder / "dresses-00002.h5").who(0).person_id
    with pytest.raises(IndexError):
        shards[15]


def test_a_folder_can_be_narrowed_to_a_category_and_sent_on(folder):
    dresses = pickle.loads(pickle.dumps(ShardFolder(folder, [Category.DRESSES])))
    assert len(dresses) == 5 and {r.category for r in dresses.names} == {Category.DRESSES}


def test_a_folder_keeps_few_files_open(folder, monkeypatch):
    monkeypatch.setattr("pipeline.shards.folder.OPEN_FILES", 2)
    monkeypatch.setattr("pipeline.shards.folder.KEPT_READERS", 4)
    shards, before = ShardFolder(folder), len(os.listdir("/proc/self/fd"))
    order = np.random.default_rng(0).permutation(len(shards))
    assert sorted(shards[int(i)].who.person_id for i in order) == sorted(
        r.person_id for r in shards.names
    )
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def write_signed(folder: Path, index: dict) -> None:
    index["checksum"] = content_checksum(index)
    (folder / "index.json").write_text(json.dumps(index))


def test_an_unfinished_folder_and_a_damaged_index_are_errors(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        ShardFolder(tmp_path / "none")
    with pytest.raises(DataError, match="an empty folder, expected a folder that preprocess has"):
        ShardFolder(tmp_path)
    (tmp_path / ".progress").mkdir()
    with pytest.raises(DataError, match="has not finished.*it goes on where it stopped"):
        ShardFolder(tmp_path)
    for text in (
        "{",
        "[]",
        '{"format": "fittingroom-shards", "format_version": 1}',
        '{"format": "other"}',
        "[" * 100_000,
    ):
        (tmp_path / "index.json").write_text(text)
        with pytest.raises(DataError, match=r"index\.json"):
            read_index(tmp_path)


def test_an_index_cannot_point_out_of_its_folder(folder, tmp_path):
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["file"] = "../" + index["shards"][0]["file"]
    write_signed(tmp_path, index)
    with pytest.raises(DataError, match="outside of its folder"):
        ShardFolder(tmp_path)


def test_the_example_of_the_format_page_reads_a_shard_without_this_package(folder):
    page = (Path(__file__).parent.parent / "docs/shards.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    assert "pipeline" not in code
    before = contents(folder)
    names: dict = {"path": str(folder / "dresses-00000.h5")}
    exec(compile(code, "docs/shards.md", "exec"), names)
    expected = ShardReader(folder / "dresses-00000.h5")[0]
    assert np.array_equal(names["photo"], expected.photo) and np.array_equal(
        names["garment"], expected.garment
    )
    assert np.array_equal(names["hidden"], expected.masks["standard"])
    assert np.array_equal(names["labels"], expected.label_map) and np.array_equal(
        names["dense"], expected.dense_i
    )
    assert np.array_equal(names["joints"], expected.keypoints, equal_nan=True)
    assert contents(folder) == before


def everything(path: Path) -> list[bytes]:
    """All that a reader gives of a shard."""
    reader = ShardReader(path)
    return [pickle.dumps(reader.info)] + [pickle.dumps(reader[i]) for i in range(len(reader))]


@pytest.mark.parametrize("images", ["jpeg", "raw"])
def test_no_flipped_bit_of_a_shard_is_used_in_silence(tmp_path, images):
    path = write(tmp_path / "shard.h5", images, range(2))
    good, data = everything(path), bytearray(path.read_bytes())
    random, told = np.random.default_rng(4), 0
    for at in random.integers(0, 8 * len(data), 250).tolist():
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        try:
            assert everything(path) == good, at
        except DataError:
            told += 1
        data[at // 8] ^= 1 << at % 8
    assert told > 100


@pytest.mark.parametrize("name", ["person_id", "keypoints", "person/offsets", "person/crc32"])
def test_a_damaged_table_is_named(tmp_path, name):
    path = write(tmp_path / "shard.h5", "jpeg")
    with h5py.File(path, "a") as file:
        values = file[name][()]
        values.view(np.uint8).reshape(-1)[7] ^= 1
        file[name][...] = values
    with pytest.raises(DataError, match=f"{name} (differ|are damaged)"):
        ShardReader(path)


def test_a_damaged_sample_is_named_and_the_others_are_read(shard):
    kind = ShardReader(shard).info.images
    with h5py.File(shard, "a") as file:
        if kind == "raw":
            file["garment/pixels"][3, 5, 5, 1] ^= 4
        else:
            file["garment/bytes"][int(file["garment/offsets"][3]) + 700] ^= 4
    reader = ShardReader(shard)
    with pytest.raises(DataError, match="garment.*differs from its checksum.*Run preprocess"):
        reader.garment(3)
    assert reader.garment(2).shape == (*SIZE, 3)


def as_version_1(path: Path) -> Path:
    """The same shard as the first version of the format had it: without checksums."""
    with h5py.File(path, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        for name in names:
            if name.endswith("/crc32"):
                del file[name]
        del file.attrs["checksums"]
        file.attrs["format_version"] = 1
    return path


def test_a_shard_of_version_1_is_read(shard, tmp_path):
    old = as_version_1(Path(shutil.copy(shard, tmp_path / "old.h5")))
    assert everything(old) == everything(shard)


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def read_all(shards: ShardFolder) -> None:
    for i in range(len(shards)):
        shards[i]


def test_swapped_shards_are_noticed(copy):
    one, other = copy / "dresses-00000.h5", copy / "dresses-00001.h5"
    one.rename(copy / "x"), other.rename(one), (copy / "x").rename(other)
    with pytest.raises(DataError, match=r"dresses-00000\.h5: (another shard|[\d,]+ bytes)"):
        read_all(ShardFolder(copy))


def test_a_shard_that_lies_there_twice_is_noticed_even_without_checksums(copy):
    shutil.copy(copy / "dresses-00000.h5", copy / "dresses-00001.h5")
    index = json.loads((copy / "index.json").read_text())
    for shard in index["shards"]:
        as_version_1(copy / shard["file"])
        del shard["digest"]
        shard["bytes"] = (copy / shard["file"]).stat().st_size
    index["format_version"] = 1
    del index["checksum"]
    (copy / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="the same people as dresses-00000.h5"):
        read_all(ShardFolder(copy))


def test_an_index_that_was_changed_is_refused(copy):
    text = (copy / "index.json").read_text()
    (copy / "index.json").write_text(text.replace('"people": 15', '"people": 14'))
    with pytest.raises(DataError, match="changed by hand"):
        read_index(copy)


def test_an_index_laid_out_anew_is_the_same_index(copy):
    index = json.loads((copy / "index.json").read_text())
    (copy / "index.json").write_text(json.dumps(index))
    assert read_index(copy) == index


@pytest.mark.parametrize(
    "path, value",
    [
        (("configuration", "size_hw"), 64),
        (("configuration", "size_hw"), [64, "64"]),
        (("configuration", "styles"), "standard"),
        (("configuration", "styles"), [1]),
        (("configuration",), []),
        (("shards",), {"a": 1}),
        (("shards",), [3]),
        (("shards", 0, "samples"), True),
        (("shards", 0, "samples"), 10**30),
        (("shards", 0, "samples"), "2"),
        (("shards", 0, "category"), ["dresses"]),
        (("shards", 0, "file"), 5),
        (("shards", 0, "file"), "dresses-00001.h5"),
        (("shards", 0, "bytes"), -1),
        (("shards", 0, "sha256"), 7),
        (("skipped",), [{"shard": 3}]),
        (("skipped",), 1),
        (("people",), None),
        (("format_version",), [1]),
        (("checksum",), None),
    ],
    ids=str,
)
def test_an_index_of_another_kind_of_value_is_an_error(copy, path, value):
    index = json.loads((copy / "index.json").read_text())
    place = index
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    index = {key: place for key, place in index.items() if place is not None}
    if path != ("checksum",):
        index["checksum"] = content_checksum(index)
    (copy / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"index\.json"):
        ShardFolder(copy)


def test_a_shard_replaced_while_it_is_read_is_noticed(tmp_path):
    path = write(tmp_path / "shard.h5", "jpeg")
    reader = ShardReader(path)
    reader.close()
    write(path, "jpeg", range(5))  # the same once more
    assert reader.photo(0).shape == (*SIZE, 3)
    reader.close()
    write(path, "jpeg", range(1, 6))
    for _ in range(2):
        with pytest.raises(DataError, match="was replaced by another shard while it was read"):
            reader.photo(0)


def test_a_shard_overwritten_where_it_lies_is_noticed(tmp_path):
    path, other = write(tmp_path / "a.h5", "jpeg"), write(tmp_path / "b.h5", "jpeg", range(1, 6))
    reader = ShardReader(path)
    with open(path, "r+b") as file:
        file.write(other.read_bytes())
    with pytest.raises(DataError, match="differs from its checksum"):
        [reader[i] for i in range(5)]


def ask_for_much(path: Path, what: str) -> None:
    with h5py.File(path, "a") as file:
        if what == "long ids":
            del file["person_id"]
            file.create_dataset("person_id", (5,), "S700000000", chunks=(1,), compression="gzip")
        elif what == "one large piece":
            length = len(file["person/bytes"])
            del file["person/bytes"]
            options = {"maxshape": (None,), "chunks": (1 << 29,), "compression": "gzip"}
            file.create_dataset("person/bytes", (length,), np.uint8, **options)
        elif what == "many people":
            file.attrs["samples"] = 100_000
            del file["keypoints"]
            file.create_dataset("keypoints", (100_000, 18, 3), "f16", chunks=True)
        elif what == "many attributes":
            file.attrs.update({f"a{i}": i for i in range(70)})
        elif what == "a long attribute":
            file.attrs["styles"] = ["x"] * 2000
        elif what == "a link to a pipe":
            os.mkfifo(path.with_name("pipe"))
            del file["dense"]
            file["dense"] = h5py.ExternalLink("pipe", "/")


@pytest.mark.parametrize(
    "what, told",
    [
        ("long ids", "entries of 700,000,000 bytes"),
        ("one large piece", "pieces of 536,870,912 bytes"),
        ("many people", "not as expected"),
        ("many attributes", "attributes"),
        ("a long attribute", "of 2,000 values"),
        ("a link to a pipe", "no dense/offsets in the file itself"),
    ],
)
def test_a_shard_that_asks_for_much_is_refused_before_it_gets_it(tmp_path, what, told):
    path = write(tmp_path / "shard.h5", "jpeg")
    ask_for_much(path, what)
    with pytest.raises(DataError, match=told):
        ShardReader(path)


def test_a_pipe_in_place_of_a_shard_is_refused(tmp_path):
    os.mkfifo(tmp_path / "shard.h5")
    with pytest.raises(DataError, match="not a regular file"):
        ShardReader(tmp_path / "shard.h5")


@pytest.mark.parametrize("images", ["jpeg", "raw"])
def test_an_attribute_that_claims_gigabytes_is_refused_before_they_are_taken(tmp_path, images):
    """One bit of a text's length: HDF5 itself takes two gigabytes and then finds the error."""
    path = tmp_path / "upper_body-00000.h5"
    info = ShardInfo(Category.UPPER_BODY, "train", (64, 64), images, ("standard", "loose"), 1)
    with ShardWriter(path, info) as writer:
        for number in range(3):
            writer.add(tiny_sample(Category.UPPER_BODY, number))
    assert len(ShardReader(path)) == 3
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL").to_bytes(8, "little")
    lengths = [m.start() - 4 for m in re.finditer(re.escape(heap), bytes(data))]
    assert len(lengths) > 8
    for place in lengths[1::3]:
        data[place + 3] ^= 0x80
        path.write_bytes(data)
        with pytest.raises(DataError, match="lies in no heap"):
            ShardReader(path)
        data[place + 3] ^= 0x80
