"""Dresses people: one, a list, or outfits piece by piece; what the mask leaves visible stays the
photo's own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from model.data.dataset import to_image
from model.tryon.predictor import Dresser, composite, network_inputs
from model.tryon.sources import (
    DatasetSource,
    Order,
    Piece,
    ShardSource,
    Sitter,
    garment_picture,
    resized,
    resolve,
)
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.storage import write_whole
from pipeline.inspect.overlays import grid
from pipeline.masks.render import apply_mask

DEFAULT_SIZE = (512, 384)
CATEGORY_WORDS = {str(c): c for c in Category} | {str(c.index): c for c in Category}


@dataclass(frozen=True)
class Look:
    """How results are made.

    Attributes:
        network_hw: size at which the network works, multiples of 32.
        size_hw: size of the result; None for the photo's own.
        style: of the masks.
        raw: give the network's own picture instead of the composite.
    """

    network_hw: tuple[int, int] = DEFAULT_SIZE
    size_hw: tuple[int, int] | None = None
    style: str = "standard"
    raw: bool = False


@dataclass
class Dressed:
    """One person, before, between and after the pieces of an order.

    Attributes:
        sitter: as photographed, at the result's size; small: at the network's.
        picture: the result so far, (H, W, 3) uint8.
        garments: pictures at the network's size, one for each piece.
        mask: of the last piece, at the result's size.
    """

    order: Order
    sitter: Sitter
    small: Sitter
    picture: np.ndarray
    garments: list[np.ndarray]
    inputs: tuple[torch.Tensor, ...] = ()
    mask: np.ndarray | None = None
    masks: list[np.ndarray] = field(default_factory=list)

    def prepare(self, step: int, look: Look) -> None:
        """Inputs of a step. Masks come from the photo's annotations: nothing tells how the last
        step's garment lies."""
        category = self.order.pieces[step].category
        assert category is not None
        photo = self.small.photo if step == 0 else resized(self.picture, look.network_hw)
        mask = self.small.mask(category, look.style)
        self.inputs = network_inputs(photo, self.garments[step], mask, self.small.keypoints)
        self.mask = self.sitter.mask(category, look.style)
        self.masks.append(self.mask)

    def take(self, step: int, output: torch.Tensor, look: Look) -> None:
        """Puts the network's output (3, H, W) into the picture."""
        assert self.mask is not None
        own = resized(to_image(output), self.picture.shape[:2])
        last = step == len(self.order.pieces) - 1
        self.picture = own if look.raw and last else composite(self.picture, own, self.mask)
        self.inputs = ()

    def panel(self) -> np.ndarray:
        """Person, garments, masked person and result side by side; for the garment in the photo the
        truth as well."""
        columns = self.columns()
        return grid([list(columns.values())], list(columns), height=min(self.picture.shape[0], 768))

    def columns(self) -> dict[str, np.ndarray]:
        """Heading -> picture, from left to right, as ``panel`` shows them."""
        hidden = np.logical_or.reduce(self.masks)
        pieces = [str(p.category).replace("_", " ") for p in self.order.pieces]
        heads = (
            pieces
            if len(set(pieces)) == len(pieces) > 1
            else [f"garment {n + 1}" for n in range(len(pieces))]
        )
        columns = {
            "person": self.sitter.photo,
            **dict(zip(heads if len(heads) > 1 else ["garment"], self.garments)),
            "masked": apply_mask(self.sitter.photo, hidden),
            "result": self.picture,
        }
        return columns | ({"truth": self.sitter.photo} if self.order.paired else {})


class Sheet:
    """One picture of the first few people of each category, the rows in the order of
    ``Category``."""

    def __init__(self, per_category: int = 3, height: int = 256):
        self.per_category, self.height = per_category, height
        self.rows: dict[Category, list[dict[str, np.ndarray]]] = {c: [] for c in Category}

    def add(self, dressed: Dressed) -> None:
        """Keeps small copies of a person's columns while their category has room."""
        category = dressed.order.pieces[-1].category
        assert category is not None  # whoever is dressed has an order that ``resolve`` completed
        rows = self.rows[category]
        if len(rows) < self.per_category:
            size = (
                self.height,
                round(self.height * dressed.picture.shape[1] / dressed.picture.shape[0]),
            )
            rows.append(
                {head: resized(picture, size) for head, picture in dressed.columns().items()}
            )

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises DataError where nobody was dressed."""
        rows = [row for kept in self.rows.values() for row in kept]
        if not rows:
            raise DataError("--sheet", "nobody was dressed", "people to show")
        longest = max(rows, key=len)
        return grid([list(row.values()) for row in rows], list(longest), height=self.height)


def start(source: DatasetSource | ShardSource, order: Order, look: Look) -> Dressed:
    """Everything of an order read and the first step prepared. Raises DataError."""
    order = resolve(source, order)
    whole = source.sitter(order.person, order.pieces[0].category)
    sitter = whole.at(look.size_hw or whole.photo.shape[:2])
    garments = [garment_picture(source, piece, look.network_hw) for piece in order.pieces]
    dressed = Dressed(order, sitter, whole.at(look.network_hw), sitter.photo, garments)
    dressed.prepare(0, look)
    return dressed


def try_on(
    dresser: Dresser,
    source: DatasetSource | ShardSource,
    orders: Iterable[Order],
    look: Look,
    *,
    batch_size: int = 4,
    threads: int = 2,
    finish: Callable[[Dressed], None],
    failed: Callable[[Order, DataError], None] | None = None,
) -> Iterator[Order]:
    """Dresses one after the other, in batches; yields each order, categories filled in, when it is
    finished.

    Reading and mask drawing of the next batches, and ``finish`` (writing) of the last ones, run in
    threads beside the network; a few batches are in memory at a time.

    Args:
        finish: called in a thread with each finished person.
        failed: called for an order that cannot be read, which is then left out; None raises its
            DataError.
    """
    waiting = iter(orders)
    writing: deque[tuple[Order, Future]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        reading: deque[tuple[Order, Future]] = deque()

        def read_ahead() -> None:
            for order in islice(waiting, 3 * batch_size - len(reading)):
                reading.append((order, pool.submit(start, source, order, look)))

        read_ahead()
        while reading or writing:
            batch: list[Dressed] = []
            while reading and len(batch) < batch_size:
                order, task = reading.popleft()
                try:
                    batch.append(task.result())
                except DataError as error:
                    if failed is None:
                        raise
                    failed(order, error)
                read_ahead()
            _dress(dresser, batch, look, pool)
            writing.extend((dressed.order, pool.submit(finish, dressed)) for dressed in batch)
            while writing and (len(writing) > 2 * batch_size or not reading):
                order, task = writing.popleft()
                task.result()
                yield order


def _dress(
    dresser: Dresser, batch: Sequence[Dressed], look: Look, pool: ThreadPoolExecutor
) -> None:
    """All steps of a batch; people with fewer pieces are done earlier."""
    for step in range(max((len(d.order.pieces) for d in batch), default=0)):
        members = [d for d in batch if len(d.order.pieces) > step]
        if step:
            list(pool.map(lambda d: d.prepare(step, look), members))  # noqa: B023
        output = dresser(*(torch.stack(parts) for parts in zip(*(d.inputs for d in members)))).cpu()
        list(pool.map(lambda d, o: d.take(step, o, look), members, output))  # noqa: B023


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB as a PNG, or a JPEG where the name says so, whole or not at all.
    Raises DataError."""
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    write_whole(path, cv2.imencode(".jpg" if jpeg else ".png", picture[..., ::-1])[1].tobytes())


def read_orders(path: Path, category: Category | None = None) -> list[Order]:
    """Orders of a list: on each line a person, then garments, each followed by its category where
    that is not clear.

    Names are ids (``000123``, ``dresses/000123``), Dress Code's file names, or picture files of
    garments. A category is its name or 0, 1, 2, so Dress Code's pair lists and its list of triplets
    can be used as they are. ``#`` starts a comment.

    Args:
        category: of garments that come without one.

    Raises:
        DataError: no such file, nothing in it, or a line without a garment.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            path,
            f"cannot be read as a list ({getattr(error, 'strerror', None) or 'not UTF-8 text'})",
            "a person and garments on each line",
        ) from None
    orders = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        pieces: list[Piece] = []
        for word in words[1:]:
            if word in CATEGORY_WORDS and pieces:
                pieces[-1] = Piece(pieces[-1].garment, CATEGORY_WORDS[word])
            else:
                pieces.append(Piece(word, category))
        if not pieces:
            raise DataError(
                f"{path}, line {number}", "no garment", "a person, then one or more garments"
            )
        orders.append(Order(words[0], tuple(pieces)))
    if not orders:
        raise DataError(path, "an empty list", "a person and garments on each line")
    return orders


def trained_size(dresser: Dresser) -> tuple[int, int] | None:
    """(height, width) that the network was trained at, where its file says so."""
    text = str((dresser.facts.get("config") or {}).get("data", {}).get("size", ""))
    sides = text.split("x")
    return (
        (int(sides[0]), int(sides[1]))
        if len(sides) == 2 and all(s.isdigit() for s in sides)
        else None
    )
