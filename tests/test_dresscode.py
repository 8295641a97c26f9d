"""Pair lists as they are found in the wild, and parts of the dataset, become records."""

import pickle
import shutil

import pytest

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.dataset.index import index_pairs, read_exclude, read_pairs


def test_index_follows_the_lists_category_by_category(whole):
    records = index_pairs(whole)
    assert [r.key for r in records] == [
        "upper_body/000000",
        "upper_body/000001",
        "lower_body/013563",
        "lower_body/013564",
        "dresses/020714",
        "dresses/020715",
    ]
    for r in records:
        assert r.paired and not r.absent
        assert all(
            p.is_file()
            for p in (r.image, r.garment, r.keypoints, r.label_map, r.dense, r.dense_uv, r.skeleton)
        )


def test_unpaired_rows_name_another_persons_garment(whole):
    record = index_pairs(whole, split="test_unpaired")[0]
    assert (record.person_id, record.garment_id) == ("048392", "048393")
    assert record.image.name == "048392_0.jpg" and record.garment.name == "048393_1.jpg"


@pytest.mark.parametrize(
    "text",
    [
        "000000_0.jpg\t000000_1.jpg\n000001_0.jpg\t000001_1.jpg\n",
        "000000_0.jpg 000000_1.jpg\n000001_0.jpg 000001_1.jpg",
        "000000_0.jpg   000000_1.jpg \r\n\r\n 000001_0.jpg\t 000001_1.jpg\r\n",
        "\ufeff000000_0.jpg\t000000_1.jpg\t0\n000001_0.jpg\t000001_1.jpg\t0",
        "000000_0.jpg 000000_1.jpg\n000001_0.jpg 000001_1.jpg\n000000_0.jpg 000000_1.jpg\n",
    ],
    ids=[
        "tabs",
        "spaces, no last newline",
        "windows",
        "byte order mark, three columns",
        "a row twice",
    ],
)
def test_rows_are_split_at_any_white_space(root, text):
    (root / "upper_body/train_pairs.txt").write_bytes(text.encode())
    records = index_pairs(root, [Category.UPPER_BODY])
    assert [(r.person_id, r.garment_id) for r in records] == [
        ("000000", "000000"),
        ("000001", "000001"),
    ]


def test_root_lists_of_three_columns_serve_categories_without_their_own(root):
    rows = [
        "000001_0.jpg\t000001_1.jpg\t0",
        "013564_0.jpg 013564_1.jpg 1",
        "020715_0.jpg\t020715_1.jpg\t2",
    ]
    (root / "train_pairs.txt").write_text("\n".join(rows))
    for category in (Category.UPPER_BODY, Category.DRESSES):
        (root / category.value / "train_pairs.txt").unlink()
    assert [r.key for r in index_pairs(root)] == [
        "upper_body/000001",
        "lower_body/013563",
        "lower_body/013564",
        "dresses/020715",
    ]


@pytest.mark.parametrize("category", Category)
def test_one_category_alone_is_a_dataset(whole, tmp_path, category):
    shutil.copytree(whole / category.value, tmp_path / category.value)
    assert {r.category for r in index_pairs(tmp_path)} == {category}


def test_missing_modalities_are_none_and_required_paths_stay(root):
    shutil.rmtree(root / "dresses/dense")
    shutil.rmtree(root / "dresses/skeletons")
    (root / "dresses/images/020715_0.jpg").unlink()
    first, second = index_pairs(root, [Category.DRESSES])
    assert first.dense is first.dense_uv is first.skeleton is None and first.label_map.is_file()
    assert second.image.name == "020715_0.jpg" and not second.image.exists() and not second.absent


def test_rows_outside_a_copied_part_are_told_from_damaged_ones(root):
    (root / "upper_body/train_pairs.txt").write_text(
        "000000_0.jpg 000000_1.jpg\n000007_0.jpg 000007_1.jpg\n000001_0.jpg 000007_1.jpg\n"
    )
    assert [r.absent for r in index_pairs(root, [Category.UPPER_BODY])] == [False, True, True]


def test_limit_counts_per_category_after_exclusions(whole):
    records = index_pairs(whole, limit=1, exclude={"upper_body/000000", ("013563", "013563")})
    assert [r.person_id for r in records] == ["000001", "013564", "020714"]


def test_exclusions_are_read_with_comments(tmp_path):
    path = tmp_path / "exclude.txt"
    path.write_text("# why\nupper_body/000001  # blurred\n\n dresses/020714\n")
    assert read_exclude(path) == {"upper_body/000001", "dresses/020714"}
    path.write_text("000001\n")
    with pytest.raises(
        DataError,
        match=r"exclude.txt:1: '000001', expected category/person.*Mend or remove the line",
    ):
        read_exclude(path)
    with pytest.raises(DataError, match="no such file"):
        read_exclude(tmp_path / "none.txt")


def test_records_travel_to_workers(whole):
    records = index_pairs(whole)
    assert pickle.loads(pickle.dumps(records)) == records


def test_folder_without_categories_is_refused(tmp_path):
    with pytest.raises(
        DataError, match="an empty folder, expected Dress Code's layout.*Name the folder"
    ):
        index_pairs(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(
        DataError, match="no folder upper_body/ or lower_body/ or dresses/.*Name the folder"
    ):
        index_pairs(tmp_path)
    with pytest.raises(
        DataError, match="none: no such folder, expected the folder that holds.*request form"
    ):
        index_pairs(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="not a folder"):
        index_pairs(tmp_path / "file")


def test_missing_list_is_named(root):
    for category in Category:
        (root / category.value / "test_pairs_unpaired.txt").unlink()
    with pytest.raises(
        DataError, match=r"upper_body/test_pairs_unpaired.txt: no such list.*Copy the list"
    ):
        index_pairs(root, split="test_unpaired")
    with pytest.raises(
        DataError, match="'validation', expected train or test_paired or test_unpaired"
    ):
        index_pairs(root, split="validation")


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_empty_list_is_refused(root, content):
    (root / "dresses/train_pairs.txt").write_bytes(content)
    with pytest.raises(DataError, match="dresses/train_pairs.txt: an empty list"):
        index_pairs(root)


@pytest.mark.parametrize(
    "line",
    [
        "000000_0.jpg",
        "../../etc/passwd_0.jpg 000000_1.jpg",
        "000000_1.jpg 000000_0.jpg",
        "000000_0.png 000000_1.jpg",
        "000000_0.jpg 000000_1.jpg 0 extra",
    ],
)
def test_strange_line_is_named_with_its_number(root, line):
    path = root / "upper_body/train_pairs.txt"
    path.write_text(f"000000_0.jpg 000000_1.jpg\n{line}\n")
    with pytest.raises(DataError, match=r"train_pairs.txt:2: .*expected NNNNNN_0.jpg NNNNNN_1.jpg"):
        index_pairs(root, [Category.UPPER_BODY])


@pytest.mark.parametrize("line", ["000000_0.jpg 000000_1.jpg", "000000_0.jpg 000000_1.jpg 3"])
def test_root_list_needs_a_category_in_every_line(tmp_path, line):
    (tmp_path / "train_pairs.txt").write_text(line)
    with pytest.raises(DataError, match="and a category's number, 0 to 2"):
        read_pairs(tmp_path / "train_pairs.txt")


def test_list_that_is_no_text_is_refused(root):
    (root / "upper_body/train_pairs.txt").write_bytes(b"\xff\xfe\x00\x01\xd8")
    with pytest.raises(DataError, match="cannot be read as text"):
        index_pairs(root)


def test_leaving_everyone_out_is_an_error(whole):
    with pytest.raises(DataError, match="every pair of train is excluded"):
        index_pairs(whole, [Category.DRESSES], exclude={"020714", "020715"})


def test_real_people_are_indexed(real_people):
    assert [r.key for r in index_pairs(real_people)] == [
        "upper_body/000000",
        "lower_body/013563",
        "dresses/020714",
    ]
