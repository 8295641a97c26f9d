"""Names and sizes that options take, in one place; so light that a command line may load it."""

from __future__ import annotations

TRAIN, TEST_PAIRED, TEST_UNPAIRED = "train", "test_paired", "test_unpaired"
SPLITS = (TRAIN, TEST_PAIRED, TEST_UNPAIRED)
"""The dataset's pair lists; ``data_manifest.json`` names their files."""
IMAGE_KINDS = ("jpeg", "raw")
"""How shards hold photos and garments."""
DEFAULT_HW = (512, 384)
"""Height and width of shards and network unless another is asked for: the user's recipe."""
SIZE_MULTIPLE = 32
"""The network halves its input five times."""
MAX_SIDE = 4096
"""Longest side of anything in a shard."""

MENDED_MASKS, MENDED_LABEL_MAPS = "masks", "label_maps"
"""Folders of mended pictures: masks/STYLE/CATEGORY-PERSON.png, label_maps/CATEGORY-PERSON.png."""
LABELLING_TOOLS = ("cvat", "label-studio", "fiftyone")
"""Tools in which people mend masks and label maps."""

WHOLE, REGION = "whole", "region"
FRAMES = (WHOLE, REGION)
"""What shards hold and a network sees of a person: the whole photo, or the part of it around what
is dressed."""
