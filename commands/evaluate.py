"""``evaluate``: figures of networks and of any method's pictures on shards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from commands.common import check_writable, note, progress, tell_own
from commands.options import (
    WeightsType,
    available_jobs,
    category_option,
    device_option,
    frame_option,
    limit_option,
    mask_style_option,
    weights_option,
)
from pipeline.base.errors import DataError
from pipeline.base.names import REGION, WHOLE
from pipeline.base.places import Holds, place_of

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)


class NamedFolder(click.ParamType):  # type: ignore[type-arg]
    """``NAME=FOLDER`` or ``FOLDER`` -> (name, path); the folder's own name by default."""

    name = "[NAME=]FOLDER"

    def convert(self, value, param, ctx):
        name, mark, folder = value.partition("=")
        return (name, Path(folder)) if mark and name else ("", Path(value))


@click.command(short_help="Measure networks, or any method's pictures, on shards.")
@click.argument("paths", nargs=-1, required=True, metavar="[WEIGHTS]... SHARDS...")
@category_option
@click.option(
    "--results",
    multiple=True,
    type=NamedFolder(),
    help="Pictures of any program, named by the people's ids; repeat for several methods.",
)
@click.option(
    "--baselines",
    is_flag=True,
    help="Also plain ways: the garment's mean colour, the garment fitted by its box, the person "
    "unchanged.",
)
@mask_style_option(help="Masks to hide the garment with.")
@frame_option
@weights_option
@limit_option(help="At most so many people per category and split.  [default: all]")
@click.option(
    "--batch-size", type=click.IntRange(1), default=4, show_default=True, help="People at once."
)
@click.option(
    "--composite/--own",
    "composite",
    default=True,
    show_default=True,
    help="Which picture ranks people and fills the weights' card: with the photo's visible pixels "
    "put back, or as the method made it. Both are measured.",
)
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Also the spread over all mask styles that the shards hold, of the first method.",
)
@click.option(
    "--disturbed",
    is_flag=True,
    help="Also the same people with another background, turned, and smaller; of networks.",
)
@click.option(
    "--inception",
    type=FILE,
    help="TorchScript Inception (inception-2015-12-05.pt) for FID and KID.",
)
@click.option(
    "--protocol",
    "protocol_name",
    type=click.Choice(["ours", "ladi", "catvton"]),
    default="ours",
    show_default=True,
    help="Whose SSIM, LPIPS, FID and KID: ours, or those of LaDI-VTON's or CatVTON's tables.",
)
@click.option(
    "--dataset",
    type=click.Path(file_okay=False, path_type=Path),
    help="With another protocol: the dataset, whose original photos are the truth.",
)
@click.option(
    "--backbone",
    type=FILE,
    help="With --protocol ladi AlexNet's weights for LPIPS, with catvton SqueezeNet's "
    "(torchvision's).",
)
@click.option("--vgg16", type=FILE, help="VGG16 weights (torchvision's) for LPIPS.")
@click.option(
    "--lpips",
    "linear",
    type=FILE,
    help="Linear layers of LPIPS 0.1 for the backbone, or the lpips package's wheel; with --vgg16 "
    "or --backbone, LPIPS is measured.",
)
@click.option(
    "--download", is_flag=True, help="Measure LPIPS with weights downloaded once to the cache."
)
@device_option
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Processes that read shards.",
)
@click.option(
    "--json", "json_file", type=OUTPUT, help="Write all figures and settings to this file."
)
@click.option(
    "--html", "html_file", type=OUTPUT, help="Write a page with the best, median and worst people."
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=OUTPUT,
    help="Write the table as .csv, .md, .tex or .txt; repeat for several.",
)
@click.pass_context
def command(
    ctx,
    paths,
    categories,
    results,
    baselines,
    mask_style,
    frame,
    choice,
    limit,
    batch_size,
    composite,
    sensitivity,
    disturbed,
    inception,
    protocol_name,
    dataset,
    backbone,
    vgg16,
    linear,
    download,
    device,
    workers,
    json_file,
    html_file,
    tables,
):
    """Measure the networks in WEIGHTS, and pictures that other programs made, on SHARDS (folders
    that preprocess wrote), against the shards' own photos.

    Paired rows get SSIM, PSNR, L1, detail and LPIPS, whole, inside the mask, at the neckline, hem
    and cuffs, and by pose; unpaired rows what arrives of the garment; with --inception, all get FID
    and KID. Give the folders of test_paired and test_unpaired together for both.

    \b
    Examples:
      fittingroom evaluate runs/first/best.pt shards/paired shards/unpaired --html report.html
      fittingroom evaluate best.pt shards/paired --results CatVTON=out/catvton --baselines
    """
    weights, shards = _split(ctx, paths)
    if not weights and not results and not baselines:
        raise click.UsageError("Say what to measure: WEIGHTS, --results or --baselines.")
    if (dataset or backbone) and protocol_name == "ours":
        raise click.UsageError("--dataset and --backbone belong to --protocol ladi or catvton.")
    _check_forms(tables)
    check_writable(json_file, html_file, *tables)

    from model.evaluation import evaluate as measures
    from model.evaluation.fid import Inception
    from model.evaluation.protocols import PROTOCOLS, Truths

    methods = _methods(weights, device, choice, frame)
    on = methods[0].predictor.device if methods else device or "cpu"
    if disturbed:
        _check_disturbed(methods, shards)
    _tell_frames(methods, shards)
    methods += _other_methods(results, baselines)
    protocol = PROTOCOLS.get(protocol_name)
    lpips = _likeness(protocol, backbone if protocol else vgg16, linear, download, on)
    network = Inception(inception, on) if inception else None
    if protocol and dataset is None:
        note("The shards' photos are the truth: give --dataset for the originals.")
    options = {"batch_size": batch_size, "limit": limit, "categories": categories}
    found = _with_progress(
        "Dressing",
        lambda begin, advance: measures.evaluate(
            methods,
            shards,
            mask_style=mask_style,
            inception=network,
            lpips=lpips,
            protocol=protocol,
            truths=Truths(dataset),
            composited=composite,
            workers=workers,
            threads=available_jobs(),
            begin=begin,
            progress=advance,
            **options,
        ),
    )
    if sensitivity:
        found.result["sensitivity"] = _sensitivity(methods[0], shards, options)
    if disturbed:
        found.result["disturbed"] = _disturbed(methods, shards, mask_style, composite, options)
    if not found.rows and not network:
        note(
            "Unpaired people have no truth to measure against: give --inception for FID and KID, "
            "or paired shards."
        )
    _write(found, json_file, html_file, tables)
    _tell(found.result)
    for path in filter(None, (json_file, html_file, *tables)):
        note(f"Written: {path}")


def _check_forms(tables: tuple[Path, ...]) -> None:
    from model.evaluation.tables import FORMS

    for path in tables:
        if path.suffix.lower() not in FORMS:
            raise click.UsageError(f"--table {path}: a name that ends in {' or '.join(FORMS)}.")


def _methods(weights: list[Path], device, choice: str, frame: str | None) -> list[Any]:
    """The networks. Those whose files have one name are called by their folder too."""
    from model.evaluation.methods import Network
    from model.tryon.predictor import TryOn

    methods = []
    for path in weights:
        methods.append(Network(TryOn.load(path, device, choice, frame)))
        tell_own(path)
    names = [method.name for method in methods]
    for method, path in zip(methods, weights):
        if names.count(method.name) > 1:
            method.name = f"{path.resolve().parent.name}/{path.name}"
    return methods


def _tell_frames(networks: list[Any], shards: list[Path]) -> None:
    """Says where a network sees other parts of photos than it has learnt from."""
    from pipeline.shards.folder import ShardFolder

    names = {WHOLE: "whole photos", REGION: "the parts around garments"}
    shown = ShardFolder(shards[0]).frame
    for network in networks:
        learnt = network.predictor.trained_frame
        seen = REGION if shown == REGION else network.predictor.frame
        if seen != learnt:
            note(f"{network.name} has learnt from {names[learnt]}; here it sees {names[seen]}.")


def _other_methods(results: tuple[tuple[str, Path], ...], baselines: bool) -> list[Any]:
    """Pictures of other programs, and plain ways."""
    from model.evaluation.methods import ResultFolder
    from model.evaluation.methods import baselines as plain_ways

    return [
        *(ResultFolder(folder, name) for name, folder in results),
        *(plain_ways() if baselines else ()),
    ]


def _likeness(protocol, backbone: Path | None, linear: Path | None, download: bool, on):
    """LPIPS as the protocol has it, or None, which is told."""
    from model.evaluation.lpips_backbones import load_backbone
    from model.loss.perceptual import load_lpips

    if not (backbone or linear or download):
        file = "--backbone" if protocol else "--vgg16"
        note(f"LPIPS is left out: give {file} and --lpips, or --download.")
        return None
    if protocol:
        return load_backbone(protocol.backbone, backbone, linear).to(on)
    return load_lpips(backbone, linear).to(on)


def _sensitivity(method, shards: list[Path], options: dict[str, Any]) -> dict[str, Any]:
    """Figures with every mask style."""
    from model.evaluation.sensitivity import mask_sensitivity

    return _with_progress(
        "With every mask",
        lambda begin, advance: mask_sensitivity(
            method, shards, progress=advance, begin=begin, **options
        ),
    )


def _write(found, json_file: Path | None, html_file: Path | None, tables: tuple[Path, ...]) -> None:
    from model.evaluation.page import render_page
    from model.evaluation.tables import write_table
    from pipeline.base.storage import write_json, write_whole

    if json_file:
        write_json(json_file, found.result)
    if html_file:
        write_whole(html_file, render_page(found).encode())
    for path in tables:
        write_table(path, found.result)


def _split(ctx: click.Context, paths: tuple[str, ...]) -> tuple[list[Path], list[Path]]:
    """Files and own weights' names; and folders, which are shards."""
    from model.network.hub import is_hub
    from model.network.own import OWN_WEIGHTS

    weights: list[Path] = []
    shards: list[Path] = []
    for text in paths:
        path = Path(text)
        if path.is_dir() and place_of(path) is Holds.RUN:
            raise DataError(path, "a training run", "weights", f"Give {path / 'best.pt'}")
        if path.is_dir():
            shards.append(path)
        elif not path.exists() and text not in OWN_WEIGHTS and not is_hub(text):
            remedy = "Check the path, or make what it names first"
            raise DataError(path, "no such file or folder", "weights, or shards", remedy)
        else:
            weights.append(WeightsType().convert(text, None, ctx))
    if not shards:
        raise click.UsageError("SHARDS are missing: folders that preprocess wrote.")
    return weights, shards


def _with_progress(text: str, work):
    """``work(begin, advance)``, with a bar once the total is known."""
    with contextlib.ExitStack() as stack:
        bar: list[Callable[[int], None]] = []

        def begin(total: int) -> None:
            bar.append(stack.enter_context(progress(text, total)))

        return work(begin, lambda count: bar[-1](count))


def _check_disturbed(networks: list[Any], shards: list[Path]) -> None:
    """Refuses before anybody is dressed."""
    from model.evaluation.evaluate import check_disturbable
    from pipeline.shards.folder import ShardFolder

    if not networks:
        raise click.UsageError("--disturbed makes new photos: it is for networks alone.")
    check_disturbable(networks[:1], ShardFolder(shards[0]).frame)


def _disturbed(methods: list[Any], shards: list[Path], mask_style: str, composite: bool, options):
    """Disturbance -> group -> figures of the first network."""
    from model.evaluation import evaluate as measures
    from model.evaluation.disturb import DISTURBANCES

    told = {}
    for name, change in DISTURBANCES.items():
        found = _with_progress(
            name,
            lambda begin, advance, change=change: measures.evaluate(
                methods[:1],
                shards,
                mask_style=mask_style,
                composited=composite,
                augmentation=change,
                begin=begin,
                progress=advance,
                **options,
            ),
        )
        told[name] = found.result["metrics"]["paired"]
    return told


def _tell(result: dict[str, Any]) -> None:
    """Prints the tables, and a line for each further figure."""
    from model.evaluation.tables import as_text, methods_table

    for method in result["methods"]:
        if absent := method.get("absent") if "folder" in method else 0:
            note(f"{method['name']}: {absent:,} people have no picture there, and are left out.")
        if sizes := method.get("resized_from"):
            note(
                f"{method['name']}: pictures of {', '.join(sizes)} are brought to the shards' size."
            )
    for kind in ("paired", "unpaired"):
        heads, rows = methods_table(result, (kind,))
        if rows:
            click.echo(as_text(heads, rows))
    if found := result.get("sensitivity"):
        for group, told in found.items():
            styles = ", ".join(f"{s} {v['l1']:.4f}" for s, v in told["styles"].items())
            name, spread = group.replace("_", " "), f"{told['l1_spread']:.1%}"
            click.echo(f"mask's shape, {name}: L1 {styles}; spread {spread}")
    for name, groups in (result.get("disturbed") or {}).items():
        for group, told in groups.items():
            click.echo(
                f"{name}, {group.replace('_', ' ')}: L1 inside {told['l1_inside']:.4f}, "
                f"SSIM inside {told['ssim_inside']:.4f}"
            )
