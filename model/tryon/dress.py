"""Dresses people: one, a list, or outfits piece by piece; what the mask leaves visible stays the
photo's own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch

from model.tryon.explain import Explained, can_explain
from model.tryon.orders import Order, garment_picture, resolve
from model.tryon.predictor import TryOn
from model.tryon.step import Step, prepare_step
from model.tryon.worn import after
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import DEFAULT_HW, REGION, WHOLE
from pipeline.dataset.person import Person
from pipeline.dataset.readers import resize_image, resize_map
from pipeline.inspect.overlays import grid
from pipeline.masks.render import apply_mask
from pipeline.people.source import People


@dataclass(frozen=True)
class Look:
    """How results are made.

    Attributes:
        network_hw: size at which the network works, multiples of 32.
        size_hw: size of the result; None for the photo's own.
        style: of the masks.
        raw: give the network's own picture instead of the composite.
        explain: also keep what lies behind the last piece.
        frame: of ``names.FRAMES``, what the network sees.
    """

    network_hw: tuple[int, int] = DEFAULT_HW
    size_hw: tuple[int, int] | None = None
    style: str = "standard"
    raw: bool = False
    explain: bool = False
    frame: str = WHOLE


@dataclass
class Dressed:
    """One person, before, between and after the pieces of an order.

    Attributes:
        person: as photographed, at the result's size, or at its own where the network sees a
            part; small: at the network's, where that sees whole photos.
        picture: the result so far, (H, W, 3) uint8.
        garments: pictures at the network's size, one for each piece.
        result_hw: of the result; None for the photo's own.
        step: the piece that is put on now.
        masks: of the pieces so far, at the result's size.
        explained: what lies behind the last piece, where the look asked for it.
    """

    order: Order
    person: Person
    small: Person | None
    picture: np.ndarray
    garments: list[np.ndarray]
    result_hw: tuple[int, int] | None = None
    step: Step | None = None
    masks: list[np.ndarray] = field(default_factory=list)
    explained: Explained | None = None

    def prepare(self, number: int, look: Look) -> None:
        """Makes the step of piece ``number``."""
        category = self.order.pieces[number].category
        assert category is not None
        self.step = prepare_step(
            self.person,
            self.garments[number],
            category,
            look.style,
            small=self.small,
            picture=self.picture if number else None,
            frame=look.frame,
        )
        self.masks.append(self.step.mask)

    def take(self, number: int, output: torch.Tensor, look: Look) -> None:
        """Puts the network's output (3, H, W) into the picture."""
        assert self.step is not None
        last = self.is_last(number)
        self.picture = self.step.finish(output, raw=look.raw and last)
        self.step = None
        if last and self.result_hw and self.picture.shape[:2] != self.result_hw:
            self.picture = resize_image(self.picture, self.result_hw)
            self.masks = [
                resize_map(mask.view(np.uint8), self.result_hw).view(bool) for mask in self.masks
            ]

    def is_last(self, number: int) -> bool:
        return number == len(self.order.pieces) - 1

    def relabel(self, number: int, weight: np.ndarray, look: Look) -> None:
        """Gives the person the labels of the result of piece ``number``, whose weight (h, w) the
        network has told: the next mask is drawn from them."""
        category = self.order.pieces[number].category
        assert self.step is not None and category is not None
        self.person = after(self.person, self.step, weight, category)
        if self.small is not None:
            self.small = self.person.at(look.network_hw)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: of the last piece, at the result's size."""
        return self.masks[-1]

    @property
    def photo(self) -> np.ndarray:
        assert self.person.photo is not None  # ``start`` has looked
        return self.person.photo

    def panel(self) -> np.ndarray:
        """Person, garments, masked person and result side by side; for the garment in the photo the
        truth as well."""
        columns = self.columns()
        return grid([list(columns.values())], list(columns), height=min(self.picture.shape[0], 768))

    def explanation(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB: garment, masked person, what lies behind, result, side by side."""
        assert self.explained is not None  # whoever asks has asked the look for it
        before = {
            "garment": self.garments[-1],
            "masked": apply_mask(self.photo, np.logical_or.reduce(self.masks)),
        }
        return self.explained.panel(before, self.picture)

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
            "person": self.photo,
            **dict(zip(heads if len(heads) > 1 else ["garment"], self.garments)),
            "masked": apply_mask(self.photo, hidden),
            "result": self.picture,
        }
        return columns | ({"truth": self.photo} if self.order.paired else {})


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
                {head: resize_image(picture, size) for head, picture in dressed.columns().items()}
            )

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises DataError where nobody was dressed."""
        rows = [row for kept in self.rows.values() for row in kept]
        if not rows:
            raise DataError("--sheet", "nobody was dressed", "people to show")
        longest = max(rows, key=len)
        return grid([list(row.values()) for row in rows], list(longest), height=self.height)


def start(people: People, order: Order, look: Look) -> Dressed:
    """Everything of an order read and the first step prepared. Raises DataError."""
    order = resolve(people, order)
    whole = people.person(order.person, order.pieces[0].category)
    parted = look.frame == REGION and whole.crop is None  # then each step cuts its own part
    person = whole if parted else whole.at(look.size_hw or whole.size_hw)
    assert person.photo is not None  # of whoever has no photo nobody is told by name
    garments = [garment_picture(people, piece, look.network_hw) for piece in order.pieces]
    small = None if parted else whole.at(look.network_hw)
    dressed = Dressed(order, person, small, person.photo, garments, look.size_hw)
    dressed.prepare(0, look)
    return dressed


def try_on(
    predictor: TryOn,
    people: People,
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
    writing: deque[tuple[Order, Future[Any]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        reading: deque[tuple[Order, Future[Any]]] = deque()

        def read_ahead() -> None:
            for order in islice(waiting, 3 * batch_size - len(reading)):
                reading.append((order, pool.submit(start, people, order, look)))

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
            _dress(predictor, batch, look, pool)
            writing.extend((dressed.order, pool.submit(finish, dressed)) for dressed in batch)
            while writing and (len(writing) > 2 * batch_size or not reading):
                order, task = writing.popleft()
                task.result()
                yield order


def _dress(
    predictor: TryOn, batch: Sequence[Dressed], look: Look, pool: ThreadPoolExecutor
) -> None:
    """All steps of a batch; people with fewer pieces are done earlier."""
    for step in range(max((len(d.order.pieces) for d in batch), default=0)):
        members = [d for d in batch if len(d.order.pieces) > step]
        if step:
            list(pool.map(lambda d: d.prepare(step, look), members))  # noqa: B023
        output = predictor(
            *(torch.stack(parts) for parts in zip(*(d.step.inputs for d in members if d.step)))
        ).cpu()
        for dressed in members:
            assert dressed.step is not None
            if dressed.is_last(step) and look.explain:
                dressed.explained = Explained(predictor, dressed.step)
            elif not dressed.is_last(step) and can_explain(predictor):
                weight = Explained(predictor, dressed.step).layers.weight[0, 0].numpy()
                dressed.relabel(step, weight, look)
        list(pool.map(lambda d, o: d.take(step, o, look), members, output))  # noqa: B023
