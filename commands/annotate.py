"""``annotate``: the annotations that photos from elsewhere lack, and VITON-HD in Dress Code's
layout."""

from __future__ import annotations

import json
from pathlib import Path

import click

from commands.common import note, progress
from commands.options import CATEGORY_NAMES, limit_option
from commands.photo_options import map_finder, photo_options, pose_finder

PLACE = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("photos", type=PLACE)
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--category",
    type=click.Choice(CATEGORY_NAMES),
    default="upper_body",
    show_default=True,
    help="What the people are to be dressed with.",
)
@click.option(
    "--garments",
    type=PLACE,
    multiple=True,
    help="A picture of a garment, or a folder of them; repeatable.",
)
@click.option(
    "--openpose",
    type=FOLDER,
    help="Folder of pose files in place of MediaPipe: OpenPose, DWPose, candidate and subset, "
    "OOTDiffusion's or Dress Code's JSON.",
)
@click.option("--parses", type=FOLDER, help="Folder of a parser's PNGs, one a photo.")
@click.option(
    "--parse-classes",
    type=click.Choice(["atr", "lip", "cihp"]),
    default="atr",
    show_default=True,
    help="Which classes those PNGs hold.",
)
@click.option(
    "--dense",
    type=PLACE,
    help="Folder of DensePose pictures (part numbers, IUV or coloured drawings), or a .pkl dump.",
)
@photo_options
@click.option("--whole", is_flag=True, help="Pad photos to 3:4 instead of framing the person.")
@click.option(
    "--several",
    is_flag=True,
    help="Where more than one person is in a photo, take the most prominent.",
)
@click.option(
    "--first-id",
    type=click.IntRange(0, 10**9),
    default=900_000,
    show_default=True,
    help="Number of the first person.",
)
@limit_option(help="At most so many photos (VITON-HD: of each part).")
@click.option(
    "--max-skips",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="VITON-HD: broken people to tolerate.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what became of each file as JSON.")
def command(
    photos: Path, out: Path, category: str, garments, limit, max_skips, as_json, **options
) -> None:
    """Annotate PHOTOS (a picture or a folder) and write OUT in Dress Code's layout, for all other
    commands.

    Joints come from MediaPipe or OpenPose, label maps and DensePose parts from files or models that
    you give; what is missing is guessed, and said to be. A VITON-HD folder is converted as it is.
    Exit code 1 if a photo was left out.

    \b
    Examples:
      fittingroom annotate me.jpg mine --garments shirt.jpg
      fittingroom annotate photos/ mine --garments shirts/ --parses schp/ --dense dump.pkl
      fittingroom annotate VITON-HD viton --max-skips 20
    """
    from pipeline.annotate.vitonhd import is_vitonhd

    if photos.is_dir() and is_vitonhd(photos):
        left_out = _convert(photos, out, limit, max_skips, as_json)
    else:
        left_out = _annotate(photos, out, category, garments, limit, as_json, **options)
    raise SystemExit(1 if left_out else 0)


def _convert(photos: Path, out: Path, limit: int | None, max_skips: int, as_json: bool) -> int:
    from pipeline.annotate.vitonhd import convert, count

    with progress("Converting", count(photos, limit)) as advance:
        done = convert(photos, out, limit=limit, max_skips=max_skips, advance=advance)
    for error in done.skipped:
        note(f"left out: {error}")
    if done.absent:
        note(f"{done.absent:,} rows of the lists name people who are not in this copy.")
    note(f"{done.people:,} people of VITON-HD, {len(done.skipped)} left out: {out}")
    told = {
        "people": done.people,
        "absent": done.absent,
        "left_out": [str(e) for e in done.skipped],
    }
    click.echo(json.dumps(told, indent=1) if as_json else out)
    return 0  # as many as the caller allows


def _annotate(
    photos: Path,
    out: Path,
    category: str,
    garments,
    limit: int | None,
    as_json: bool,
    *,
    openpose,
    parses,
    parse_classes,
    parser,
    dense,
    dense_model,
    guess,
    mediapipe_python,
    whole,
    several,
    first_id,
) -> int:
    from pipeline.annotate.job import Sources, annotate_folder
    from pipeline.annotate.photos import list_pictures
    from pipeline.base.labels import Category

    if not garments:
        raise click.UsageError(
            "Give the garments to put on: --garments shirt.jpg, or a folder of pictures."
        )
    people = list_pictures(photos)[:limit]
    clothes = [path for place in garments for path in list_pictures(place)]
    find_pose = pose_finder(mediapipe_python, required=openpose is None)
    try:
        sources = Sources(
            find_pose,
            openpose,
            parses,
            parse_classes,
            map_finder(parser, "label_map", guess or parses is not None),
            dense,
            map_finder(dense_model, "dense", guess or dense is not None),
        )
        with progress("Annotating", len(people) + len(clothes)) as advance:
            outcome = annotate_folder(
                people,
                clothes,
                out,
                Category(category),
                sources,
                whole=whole,
                several=several,
                first_id=first_id,
                advance=advance,
            )
    finally:
        if find_pose is not None:
            find_pose.close()
    _tell(outcome, out, as_json)
    return len(outcome.left_out)


def _tell(outcome, out: Path, as_json: bool) -> None:
    for name, sentences in outcome.notes.items():
        for sentence in sentences:
            note(f"{Path(name).name}: {sentence}")
    for name, reason in outcome.left_out.items():
        note(f"left out: {reason if Path(name).name in reason else f'{name}: {reason}'}")
    note(
        f"{len(outcome.people)} people, {len(outcome.garments)} garments, {len(outcome.left_out)} "
        f"left out: {out}"
    )
    click.echo(json.dumps(vars(outcome), indent=1) if as_json else out)
