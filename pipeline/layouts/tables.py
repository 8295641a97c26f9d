"""The layouts: which files each reader opens, where, and what goes into them.

Source: the projects' own loaders, as docs/export-data.md names them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.base.labels import Category
from pipeline.layouts.subject import Subject

Layer = Callable[[Subject], bytes]


@dataclass(frozen=True)
class File:
    """One file of a person or garment.

    Attributes:
        path: below the output folder; may hold {category}, {person}, {garment}, {phase} (train or
            test) and {ootd} (OOTDiffusion's name of the category).
        layer: what it holds.
        optional: left out where the person has no source for it; without it the person is.
    """

    path: str
    layer: Layer
    optional: bool = False


@dataclass(frozen=True)
class Layout:
    """What a reader opens.

    Attributes:
        readers: the projects and their files that were meant, for the card.
        files: of each person and garment. Empty for archives.
        lists: kind of pair list, a key of ``lists.WRITERS``.
        size_hw: the size that the reader demands, or None for the source's own.
        masks: whether the reader takes masks from files. If not it draws its own.
        note: what a user has to know, for the card.
    """

    readers: str
    files: tuple[File, ...]
    lists: str
    size_hw: tuple[int, int] | None = None
    masks: bool = True
    note: str = ""


FULL_HW = (1024, 768)
OOTD_NAMES = {
    Category.UPPER_BODY: "upperbody",
    Category.LOWER_BODY: "lowerbody",
    Category.DRESSES: "dress",
}

_DRESSCODE_PICTURES = (
    File("{category}/images/{person}_0.jpg", Subject.photo_jpeg),
    File("{category}/images/{garment}_1.jpg", Subject.garment_jpeg),
)
_DRESSCODE_MAPS = (
    File("{category}/keypoints/{person}_2.json", Subject.dresscode_json),
    File("{category}/label_maps/{person}_4.png", Subject.label_png),
)
_VITON_PICTURES = (
    File("{phase}/image/{person}_00.jpg", Subject.photo_jpeg),
    File("{phase}/cloth/{garment}_00.jpg", Subject.garment_jpeg),
)
_VITON_MASK = File("{phase}/agnostic-mask/{person}_00_mask.png", Subject.mask_rgb_png)
_VITON_DENSE = File("{phase}/image-densepose/{person}_00.jpg", Subject.dense_drawing_jpeg)
_VITON_PARSE = File("{phase}/image-parse-v3/{person}_00.png", Subject.cihp_png)
_VITON_JOINTS = File("{phase}/openpose_json/{person}_00_keypoints.json", Subject.body_25_json)

LAYOUTS: dict[tuple[str, str], Layout] = {
    ("catvton", "dresscode"): Layout(
        "CatVTON (inference.py, Dress Code)",
        (
            *_DRESSCODE_PICTURES,
            File("{category}/agnostic_masks/{person}_0.png", Subject.mask_rgb_png),
        ),
        "dresscode",
        note="Lists are separated by one space, as its reader splits them; the dataset's own tabs "
        "fail there. All three category folders exist, since it opens all three.",
    ),
    ("catvton", "viton-hd"): Layout(
        "CatVTON (inference.py, VITON-HD)",
        (*_VITON_PICTURES, _VITON_MASK),
        "viton_catvton",
        note="Its reader opens test_pairs_unpaired.txt for paired runs too and then ignores the "
        "second column.",
    ),
    ("idm-vton", "viton-hd"): Layout(
        "IDM-VTON (train_xl.py, inference.py)",
        (*_VITON_PICTURES, _VITON_DENSE, _VITON_MASK),
        "viton_idm",
        FULL_HW,
        note="vitonhd_*_tagged.json names the kind of each garment; sleeve length and neckline are "
        "not annotated in Dress Code and left empty.",
    ),
    ("idm-vton", "dresscode"): Layout(
        "IDM-VTON (inference_dc.py)",
        (
            *_DRESSCODE_PICTURES,
            *_DRESSCODE_MAPS,
            File("{category}/image-densepose/{person}_0.jpg", Subject.dense_drawing_jpeg),
            File("{category}/skeletons/{person}_5.jpg", Subject.skeleton_jpeg),
            File("{category}/agnostic_masks/{person}_0.png", Subject.mask_rgb_png),
        ),
        "dresscode_idm",
        FULL_HW,
        masks=False,
    ),
    ("ootdiffusion", "dresscode"): Layout(
        "OOTDiffusion (run_ootd.py)",
        (
            File("{ootd}/model/{person}_0.jpg", Subject.photo_jpeg),
            File("{ootd}/cloth/{garment}_1.jpg", Subject.garment_jpeg),
            File("{ootd}/mask/{person}_0.png", Subject.mask_png),
            File("{ootd}/agnostic/{person}_0.png", Subject.agnostic_ootd_png),
            File("{ootd}/keypoints/{person}_0.json", Subject.ootd_json),
            File("{ootd}/parse/{person}_0.png", Subject.label_png, optional=True),
        ),
        "ootd",
        note="run_ootd.py takes two pictures (--model_path, --cloth_path) and no list. Its network "
        "takes the L mask and the photo with the hidden region grey 127, which lie here too.",
    ),
    ("ladi-vton", "dresscode"): Layout(
        "LaDI-VTON (src/dataset/dresscode.py)",
        (
            *_DRESSCODE_PICTURES,
            *_DRESSCODE_MAPS,
            File("{category}/masks/{garment}_1.png", Subject.garment_mask_png),
            File("{category}/skeletons/{person}_5.jpg", Subject.skeleton_jpeg),
            File("{category}/dense/{person}_5.png", Subject.dense_png, optional=True),
            File("{category}/agnostic_masks/{person}_0.png", Subject.mask_rgb_png),
        ),
        "dresscode_root",
        masks=False,
        note="masks/ holds the in-shop garment's region (255 = garment), found by its plain "
        "ground. Warped garments come from its own TPS stage and are not made here.",
    ),
    ("viton-hd", "viton-hd"): Layout(
        "StableVITON (dataset.py), HR-VITON (cp_dataset.py), LaDI-VTON's VITON-HD form, VITON-HD "
        "(datasets.py)",
        (
            *_VITON_PICTURES,
            _VITON_DENSE,
            _VITON_MASK,
            _VITON_PARSE,
            _VITON_JOINTS,
            File("{phase}/image-parse/{person}_00.png", Subject.cihp_png),
            File("{phase}/openpose-json/{person}_00_keypoints.json", Subject.body_25_json),
            File("{phase}/cloth-mask/{garment}_00.jpg", Subject.garment_mask_jpeg),
            File("{phase}/agnostic-v3.2/{person}_00.jpg", Subject.agnostic_grey_jpeg),
            File("{phase}/gt_cloth_warped_mask/{person}_00.jpg", Subject.worn_mask_jpeg),
            File("{phase}/image-parse-agnostic-v3.2/{person}_00.png", Subject.cihp_agnostic_png),
            File("{phase}/openpose_img/{person}_00_rendered.png", Subject.skeleton_png),
            File("{phase}/openpose-img/{person}_00_rendered.png", Subject.skeleton_png),
        ),
        "viton",
        FULL_HW,
        note="HR-VITON and VITON-HD draw their agnostic pictures themselves from the parse map "
        "(CIHP classes, translated from ATR) and BODY_25 joints; StableVITON takes the files.",
    ),
    ("folder", "dresscode"): Layout(
        "plain folders",
        (
            File("{category}/photo/{person}.png", Subject.photo_png),
            File("{category}/garment/{garment}.png", Subject.garment_png),
            File("{category}/mask/{person}.png", Subject.mask_png),
            File("{category}/agnostic/{person}.png", Subject.agnostic_png),
            File("{category}/pose/{person}.png", Subject.pose_png),
            File("{category}/densepose/{person}.png", Subject.dense_png, optional=True),
            File("{category}/label_map/{person}.png", Subject.label_png, optional=True),
        ),
        "csv",
        note="agnostic/ is the photo with the hidden region black; densepose/ holds part numbers 0 "
        "to 24; label_map/ is a palette PNG whose index is the ATR class.",
    ),
    ("webdataset", "dresscode"): Layout("webdataset", (), "none"),
    ("parquet", "dresscode"): Layout("Hugging Face datasets", (), "none"),
}
"""(layout, form) -> what is written."""

ALIASES = {"stableviton": "viton-hd"}
NAMES = tuple(dict.fromkeys([*(name for name, _ in LAYOUTS), *ALIASES]))
FORMS = ("dresscode", "viton-hd")


def find_layout(name: str, form: str | None = None) -> tuple[tuple[str, str], Layout]:
    """The key and row of a layout; without ``form`` the first that there is.

    Raises:
        KeyError: no such layout, or none in this form.
    """
    name = ALIASES.get(name, name)
    for key, layout in LAYOUTS.items():
        if key[0] == name and form in (None, key[1]):
            return key, layout
    raise KeyError(f"{name} in the form {form}")
