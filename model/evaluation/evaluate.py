"""Measures networks and other methods on shards: pairs against their own originals, unpaired lists
by what arrives and by the sets' distance."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from model.data.augment import Augmentation
from model.data.dataset import Row, TryOnDataset, to_image
from model.data.loading import Loader, in_batches
from model.evaluation.fid import FeatureSet, Inception, fid, kid
from model.evaluation.figures import (
    ARRIVAL_METRICS,
    COMPOSITE,
    LEAST_HIDDEN,
    OWN,
    PERSON_METRICS,
    PICTURES,
    Places,
    figures_of,
)
from model.evaluation.instruments import CROP_PX, Instruments, card_of
from model.evaluation.lpips_backbones import LpipsBackbone
from model.evaluation.methods import Method, Network, ResultFolder, Shown
from model.evaluation.metrics import mean_figures, ssim_map
from model.evaluation.places import POSES
from model.evaluation.protocols import Protocol, Truths
from model.loss.vgg import Lpips
from model.tryon.figures import PAIRED, UNPAIRED
from model.tryon.predictor import TryOn
from model.tryon.step import composite
from pipeline import __version__
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import REGION, WHOLE
from pipeline.dataset.person import Person

ALL, BY_POSE = "all", "poses"


@dataclass
class Evaluation:
    """Figures of one or more methods.

    Attributes:
        result: plain values, as ``--json`` writes them.
        table: every row measured: ``method``, ``picture`` (of ``PICTURES``), ``row`` of the
            dataset, category, person, pairing, pose group and figures.
        dataset: what was measured on.
        methods: in the order of the tables; the first is the one that the page shows people of.
        picture: which of ``PICTURES`` ranks people and fills the weights' card.
    """

    result: dict[str, Any]
    table: list[dict[str, Any]]
    dataset: TryOnDataset
    methods: list[Method]
    picture: str = OWN

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Paired people of the first method, by its ranking picture."""
        name = self.methods[0].name
        return [r for r in self._of(name, self.picture) if r["pairing"] == PAIRED]

    def _of(self, name: str, picture: str) -> list[dict[str, Any]]:
        return [r for r in self.table if r["method"] == name and r["picture"] == picture]


@dataclass
class _Run:
    """One pass over a dataset."""

    dataset: TryOnDataset
    methods: list[Method]
    tools: Instruments
    device: torch.device
    places: bool = True
    table: list[dict[str, Any]] = field(default_factory=list)
    sets: dict[tuple[str, str, str, str], FeatureSet] = field(
        default_factory=lambda: defaultdict(FeatureSet)
    )
    truth_sets: dict[tuple[str, str, str, str], FeatureSet] = field(
        default_factory=lambda: defaultdict(FeatureSet)
    )
    absent: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def evaluate(
    methods: TryOn | Sequence[Method],
    shards: Sequence[Path],
    *,
    mask_style: str = "standard",
    batch_size: int = 4,
    limit: int | None = None,
    categories: Sequence[Category] | None = None,
    inception: Inception | None = None,
    lpips: Lpips | LpipsBackbone | None = None,
    protocol: Protocol | None = None,
    truths: Truths | None = None,
    composited: bool = False,
    augmentation: Augmentation | None = None,
    workers: int = 0,
    threads: int = 2,
    progress: Callable[[int], None] = lambda count: None,
    begin: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Dresses everyone in the shards by each method and measures both pictures: the method's own,
    and with the photo's visible pixels put back.

    Rows whose garment is the person's own are paired: the shard's photo is their truth. Others are
    unpaired: there is no truth, only what arrives of the garment, what changed outside the mask,
    and FID and KID where ``inception`` is given, against the photos of the same rows. Memory does
    not grow with the number of people, but for a few numbers each.

    Args:
        methods: a network, or several methods.
        shards: folders that ``preprocess`` wrote, of one size.
        limit: people per category and split at most.
        lpips: on the network's device; None leaves LPIPS out.
        protocol: whose SSIM, LPIPS, FID and KID are measured; None has ours. truths: what against,
            for such a protocol.
        composited: rank people, and fill the weights' card, by the composite, not by the method's
            own picture.
        augmentation: disturb photo, mask and joints; then necklines and ends are left out.
        workers: processes that read shards; threads: for the figures.
        begin, progress: told the number of people, and of those that are done.
    """
    listed: list[Method] = [Network(methods)] if isinstance(methods, TryOn) else [*methods]
    _check_names(listed)
    dataset = TryOnDataset(
        shards, mask_style=mask_style, categories=categories, augmentation=augmentation
    )
    dataset.rows = _first(dataset, limit)
    for method in listed:
        if isinstance(method, ResultFolder):
            method.require(dataset.rows)
    if augmentation:
        check_disturbable(listed, dataset.frame)
    if protocol and dataset.frame != WHOLE:
        raise DataError(
            ", ".join(map(str, shards)),
            "parts of photos",
            f"whole ones, as the protocol {protocol.name} measures",
            "Give shards of --frame whole: a network that sees parts finds them there by itself",
        )
    begin(len(dataset))
    device = next((m.predictor.device for m in listed if isinstance(m, Network)), None)
    tools = Instruments(inception, lpips, protocol, truths or Truths())
    run = _Run(dataset, listed, tools, device or torch.device("cpu"), not augmentation)
    loader = Loader(dataset, in_batches(range(len(dataset)), batch_size), run.device, workers)
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[tuple[dict[str, Any], Future[Any]]] = []
        for batch in loader:
            begun = _measure(run, batch, pool)
            _collect(waiting)  # the batch before this one: its figures ran beside the methods
            waiting = begun
            progress(len(batch["index"]))
        _collect(waiting)
    picture = COMPOSITE if composited else OWN
    return Evaluation(_result(run, mask_style, picture), run.table, dataset, listed, picture)


def check_disturbable(methods: Sequence[Method], frame: str) -> None:
    """Raises a DataError for a network that sees parts of photos where the shards' ``frame`` is
    whole photos: joints and maps of disturbed ones are nowhere, so that no part can be found."""
    for method in methods if frame == WHOLE else ():
        if isinstance(method, Network) and method.predictor.frame == REGION:
            raise DataError(
                method.name,
                "sees parts of photos, which can't be found in disturbed ones",
                "shards of parts",
                "Preprocess the people with --frame region, and measure on those",
            )


def _check_names(methods: list[Method]) -> None:
    names = [method.name for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise DataError(name, "two methods of this name", "", "Give --results NAME=FOLDER")


def _first(dataset: TryOnDataset, limit: int | None) -> list[Row]:
    """The first rows of each category in each split, so that a limit leaves paired and unpaired
    people."""
    rows: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in dataset.rows:
        rows[dataset.folders[row.folder].split, row.category].append(row)
    return [row for part in rows.values() for row in part[:limit]]


def people_of(dataset: TryOnDataset, batch: dict[str, Any]) -> list[Shown]:
    """The rows of a batch as pictures."""
    return [
        Shown(
            dataset.rows[index],
            to_image(batch["person"][at]),
            to_image(batch["garment"][at]),
            batch["mask"][at][0].cpu().numpy() > 0.5,
            partial(_annotated, dataset, dataset.rows[index]),
        )
        for at, index in enumerate(batch["index"].tolist())
    ]


def _annotated(dataset: TryOnDataset, row: Row) -> Person:
    reader, at = dataset.folders[row.folder].reader(row.position)
    return reader.read(at, garment=False)


def pictures_of(method: Method, batch: dict[str, Any], people: list[Shown]) -> dict[str, list[Any]]:
    """Picture -> (H, W, 3) uint8 of each of the people, or None for whom the method has none."""
    own = method.draw(batch, people)
    put_back = [
        None if drawn is None else composite(shown.photo, drawn, shown.mask)
        for drawn, shown in zip(own, people)
    ]
    return {OWN: own, COMPOSITE: put_back}


def _measure(
    run: _Run, batch: dict[str, Any], pool: ThreadPoolExecutor
) -> list[tuple[dict[str, Any], Future[Any]]]:
    """Rows of one batch, whose figures are on their way."""
    people, indices = people_of(run.dataset, batch), batch["index"].tolist()
    places = [Places(run.dataset, index) if run.places else None for index in indices]
    begun: list[tuple[dict[str, Any], Future[Any]]] = []
    originals = _originals(run, people)
    if run.tools.inception and not run.tools.protocol:
        _add_features(run, people, [shown.photo for shown in people], "", "")
    for method in run.methods:
        for picture, drawn in pictures_of(method, batch, people).items():
            there = [at for at, found in enumerate(drawn) if found is not None]
            if picture == OWN:
                run.absent[method.name] += len(drawn) - len(there)
            if not there:
                continue
            shown, made = [people[at] for at in there], [drawn[at] for at in there]
            if run.tools.protocol:
                raw = _as_written(method, picture, shown, made)
                told = _by_protocol(run, shown, raw, [originals[at] for at in there])
                _gather(run, shown, raw, [originals[at] for at in there], method.name, picture)
            else:
                told = _lpips(run, shown, made, [places[at] for at in there])
            for at, found, distances in zip(there, made, told):
                row = _row(method, picture, indices[at], people[at], places[at]) | distances
                run.table.append(row)
                begun.append((row, pool.submit(figures_of, found, people[at], places[at])))
            if run.tools.inception and not run.tools.protocol:
                _add_features(run, shown, made, method.name, picture)
    return begun


def _row(
    method: Method, picture: str, index: int, shown: Shown, places: Places | None
) -> dict[str, Any]:
    return {
        "method": method.name,
        "picture": picture,
        "row": index,
        "category": str(shown.row.category),
        "person": shown.row.person_id,
        "pairing": PAIRED if shown.paired else UNPAIRED,
        "pose": places.pose if places else None,
    }


def stacked(images: Sequence[np.ndarray]) -> torch.Tensor:
    """(B, 3, H, W) uint8 of (H, W, 3) pictures."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


@torch.inference_mode()
def _lpips(
    run: _Run, people: list[Shown], made: list[np.ndarray], places: list[Places | None]
) -> list[dict[str, float]]:
    """LPIPS of each paired person, of the whole and of the neckline, if its weights are there."""
    network = run.tools.lpips
    told: list[dict[str, float]] = [{} for _ in people]
    pairs = [at for at, shown in enumerate(people) if shown.paired]
    if network is None or not pairs:
        return told
    on_device = lambda images: stacked(images).to(run.device).float() / 127.5 - 1
    ours = on_device([made[at] for at in pairs])
    theirs = on_device([people[at].photo for at in pairs])
    for n, (at, whole) in enumerate(zip(pairs, network(ours, theirs).tolist())):
        told[at]["lpips"] = whole
        at_neck, mask = places[at], people[at].mask
        if at_neck is None or not at_neck.neckline:
            continue
        if mask[at_neck.neckline].mean() >= LEAST_HIDDEN:
            crops = [image[n : n + 1, :, *at_neck.neckline] for image in (ours, theirs)]
            sized = (F.interpolate(c, (CROP_PX, CROP_PX), mode="bilinear") for c in crops)
            told[at]["lpips_neckline"] = float(network(*sized))
    return told


def _originals(run: _Run, people: list[Shown]) -> list[np.ndarray]:
    """What a protocol measures against; nothing without one."""
    if run.tools.protocol is None:
        return []
    return [run.tools.truths.photo(shown.row, shown.photo) for shown in people]


def _as_written(
    method: Method, picture: str, people: list[Shown], made: list[np.ndarray]
) -> list[np.ndarray]:
    """A folder's own pictures at their own sizes, others as they were made."""
    if picture != OWN or not isinstance(method, ResultFolder):
        return made
    written = (method.as_written(shown) for shown in people)
    return [drawn if own is None else own for own, drawn in zip(written, made)]


@torch.inference_mode()
def _by_protocol(
    run: _Run, people: list[Shown], made: list[np.ndarray], originals: list[np.ndarray]
) -> list[dict[str, float]]:
    """SSIM and LPIPS of each paired person in the protocol's frame."""
    protocol, network = run.tools.protocol, run.tools.lpips
    assert protocol is not None
    told: list[dict[str, float]] = [{} for _ in people]
    for figures, shown, drawn, original in zip(told, people, made, originals):
        if not shown.paired:
            continue
        ours, theirs = protocol.frame(drawn, original)
        figures["ssim"] = float(ssim_map(ours, theirs).mean())
        if network is not None:
            both = stacked([ours, theirs]).to(run.device).float() / 127.5 - 1
            figures["lpips"] = float(network(both[:1], both[1:]))
    return told


def _gather(
    run: _Run,
    people: list[Shown],
    made: list[np.ndarray],
    originals: list[np.ndarray],
    name: str,
    picture: str,
) -> None:
    """Features of both sets for FID and KID, as the protocol resizes pictures."""
    network, protocol = run.tools.inception, run.tools.protocol
    if network is None or protocol is None:
        return
    truths = [protocol.gathered(o, m.shape[0]) for o, m in zip(originals, made)]
    features = network.clean([*made, *truths])
    for at, shown in enumerate(people):
        pairing = PAIRED if shown.paired else UNPAIRED
        category = str(shown.row.category)
        run.sets[name, picture, pairing, category].add(features[at : at + 1])
        run.truth_sets[name, picture, pairing, category].add(features[len(people) + at :][:1])


def _collect(waiting: list[tuple[dict[str, Any], Future[Any]]]) -> None:
    for row, task in waiting:
        row.update(task.result() | row)  # a protocol's own SSIM, measured before, stays


def _add_features(
    run: _Run, people: list[Shown], images: list[np.ndarray], name: str, picture: str
) -> None:
    """Inception's features of pictures; name and picture are "" for the truth."""
    assert run.tools.inception is not None
    for shown, features in zip(people, run.tools.inception(stacked(images))):
        pairing = PAIRED if shown.paired else UNPAIRED
        run.sets[name, picture, pairing, str(shown.row.category)].add(features[None])


def _result(run: _Run, mask_style: str, picture: str) -> dict[str, Any]:
    """Everything as plain values."""
    told = []
    for method in run.methods:
        figures = {name: _metrics(run, method.name, name) for name in PICTURES}
        told.append(
            {
                "name": method.name,
                **method.facts,
                "absent": run.absent[method.name],
                "pictures": figures,
            }
        )
    first = run.methods[0]
    weights = {"weights": told[0]["weights"]} if "weights" in told[0] else {}
    config = first.predictor.facts.get("config") or {} if isinstance(first, Network) else {}
    return {
        "format": "fittingroom-evaluation",
        "version": 2,
        "software": f"fittingroom {__version__}",
        **weights,
        "config": config,
        "protocol": card_of(run.dataset, run.tools, run.methods, mask_style, picture),
        "metrics": told[0]["pictures"][picture],
        "methods": told,
    }


def _metrics(run: _Run, name: str, picture: str) -> dict[str, dict[str, Any]]:
    """Pairing -> group -> figures; and, by pose, those of paired people."""
    rows = [r for r in run.table if r["method"] == name and r["picture"] == picture]
    paired = [row for row in rows if row["pairing"] == PAIRED]
    unpaired = [row for row in rows if row["pairing"] == UNPAIRED]
    metrics = {
        PAIRED: _means(paired, PERSON_METRICS),
        UNPAIRED: _means(unpaired, ARRIVAL_METRICS),
        BY_POSE: {
            pose: _mean_of(members, PERSON_METRICS)
            for pose in POSES
            if (members := [row for row in paired if row["pose"] == pose])
        },
    }
    _add_distances(metrics, run, name, picture)
    return _plain(metrics)


def _means(rows: list[dict[str, Any]], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Group -> means over its people; each counts once; NaN (an empty mask) is left out."""
    names = tuple(names)
    groups = {ALL: rows} | {str(c): [r for r in rows if r["category"] == c] for c in Category}
    return {group: _mean_of(members, names) for group, members in groups.items() if members}


def _mean_of(rows: list[dict[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    return {"count": len(rows)} | mean_figures(rows, names)


def _add_distances(metrics: dict[str, Any], run: _Run, name: str, picture: str) -> None:
    """FID and KID of each group; under a protocol against the truths of the method's own rows."""
    sets, protocol = run.sets, run.tools.protocol
    factor = protocol.kid_factor if protocol else 1.0

    def truth(kind: str, category: str) -> FeatureSet:
        if protocol:
            return run.truth_sets[name, picture, kind, category]
        return sets["", "", kind, category]

    for pairing in (PAIRED, UNPAIRED):
        groups = {
            category: (sets[n, p, kind, category], truth(kind, category))
            for n, p, kind, category in list(sets)
            if (n, p, kind) == (name, picture, pairing)
        }
        if groups:
            joined = (sum((pair[i] for pair in groups.values()), FeatureSet()) for i in range(2))
            for group, (ours, theirs) in {ALL: tuple(joined), **groups}.items():
                figures = metrics[pairing].setdefault(group, {"count": ours.count})
                figures |= {
                    "fid": fid(ours, theirs),
                    "kid": factor * kid(ours.rows, theirs.rows),
                }


def _plain(metrics: dict[str, Any]) -> dict[str, Any]:
    """NaN, which JSON has not, as None."""
    return {
        kind: {
            group: {
                n: None if isinstance(v, float) and math.isnan(v) else v for n, v in figures.items()
            }
            for group, figures in groups.items()
        }
        for kind, groups in metrics.items()
    }
