"""What is measured with, and the card that tells all that a figure depends on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from model.data.dataset import TryOnDataset
from model.evaluation.fid import RESIZE, Inception
from model.evaluation.figures import COMPOSITE, OWN
from model.evaluation.lpips_backbones import LpipsBackbone
from model.evaluation.methods import Method, Network
from model.evaluation.protocols import Protocol, Truths
from model.evaluation.protocols import card as protocol_card
from model.loss.vgg import Lpips
from pipeline.base.names import REGION, WHOLE
from pipeline.base.storage import file_sha256
from pipeline.masks.render import MASK_VERSION

TEST_PAIRS = 1800
"""Of each category in Dress Code's test lists."""
CROP_PX = 64
"""Side at which LPIPS looks at a neckline."""
FRAME_TOLD = {WHOLE: "whole photos", REGION: "the part of the photo around the garment"}
LIBRARIES = ("torch", "numpy", "opencv-python", "scipy")


@dataclass
class Instruments:
    """What is measured with besides plain arithmetic; None leaves a figure out."""

    inception: Inception | None = None
    lpips: Lpips | LpipsBackbone | None = None
    protocol: Protocol | None = None
    truths: Truths = field(default_factory=Truths)


def card_of(
    dataset: TryOnDataset,
    tools: Instruments,
    methods: Sequence[Method],
    mask_style: str,
    picture: str,
) -> dict[str, Any]:
    """The card: everything that a figure depends on."""
    height, width = dataset.size_hw
    card: dict[str, Any] = {
        "name": "ours",
        "size": f"{height}x{width}",
        "frame": FRAME_TOLD[dataset.frame],
        "lists": [_list_told(dataset, at) for at in range(len(dataset.folders))],
        "people": len(dataset),
        "complete": _completeness(dataset),
        "mask_style": mask_style,
        "mask_version": MASK_VERSION,
        "picture": {
            OWN: "the method's own picture",
            COMPOSITE: "visible pixels of the photo put back",
        }[picture],
        "truth": "the shard's own photo at the same size, not resized",
        "resize": "pictures of another size: OpenCV, areas where they shrink, cubic else",
        "precision": next((m.predictor.precision for m in methods if isinstance(m, Network)), None),
        "ssim": "Gaussian window of sigma 1.5, biased covariance, no border left out, as "
        f"torchmetrics; OpenCV {version('opencv-python')}",
        "libraries": _versions(),
    }
    if tools.lpips:
        card["lpips"] = "version 0.1, VGG16, on the whole picture, not resized"
        card["lpips_neckline"] = f"the same, on the crop brought to {CROP_PX}x{CROP_PX}"
    if tools.inception:
        card["fid, kid"] = {
            "backbone": tools.inception.path.name,
            "sha256": file_sha256(tools.inception.path),
            "resize": RESIZE,
            "kid": "not times 1,000",
        }
    if tools.protocol:
        told = protocol_card(tools.protocol, tools.truths)
        if tools.lpips is None:
            told.pop("lpips")
        if tools.inception is None:
            told.pop("fid, kid")
        else:
            told["inception"] = card.pop("fid, kid") | {"resize": "clean-fid's, outside"}
        for name in ("lpips", "lpips_neckline"):
            card.pop(name, None)
        card |= told
    return card


def _list_told(dataset: TryOnDataset, at: int) -> dict[str, Any]:
    folder = dataset.folders[at]
    return {
        "folder": dataset.paths[at].name,
        "split": folder.split,
        "checksum": folder.index.get("checksum") if isinstance(folder.index, dict) else None,
        "software": folder.configuration.get("software"),
        "images": folder.configuration.get("images"),
    }


def _completeness(dataset: TryOnDataset) -> str:
    """Whether these are all pairs of Dress Code's test lists, in a sentence."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for row in dataset.rows:
        counts[dataset.folders[row.folder].split, str(row.category)] += 1
    fewer = [f"{n:,} of {split} {c}" for (split, c), n in counts.items() if n < TEST_PAIRS]
    if not fewer:
        return f"all {TEST_PAIRS:,} pairs of each category"
    if len(set(counts.values())) == 1:
        fewer = [f"{next(iter(counts.values())):,} of each category and list"]
    return f"fewer than the {TEST_PAIRS:,} pairs of Dress Code's lists: {', '.join(fewer)}"


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
