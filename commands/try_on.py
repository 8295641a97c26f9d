"""``try-on``: dressed people from a trained network."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import check_writable, note, progress, tell_own
from commands.options import (
    CATEGORY_NAMES,
    SizeType,
    WeightsType,
    available_jobs,
    check_aspect,
    device_option,
    frame_option,
    limit_option,
    mask_style_option,
    split_option,
    stretch_option,
    weights_option,
)
from pipeline.base.names import REGION, WHOLE

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(path_type=Path)
NOT_PLAIN = (
    "does not lie on a plain ground: all of the picture is taken for the garment. What somebody "
    "wears is cut out by a label map: annotate that photo and give --garment worn:ID."
)
GUESS = (
    "is cut out by a label map that is guessed from the joints: edges and sleeves are not those of "
    "the photo. setup-annotators puts up a parser; annotate that photo again with it."
)


class ResultSize(SizeType):
    """``HxW``, or ``original`` -> None."""

    name = "HxW|original"

    def convert(self, value, param, ctx):
        return None if value in (None, "original") else super().convert(value, param, ctx)


@click.command(short_help="Dress people in other garments.")
@click.argument("weights", type=WeightsType(), default="drawn")
@click.option("--data", type=FOLDER, help="Folder in Dress Code's layout that holds the people.")
@click.option(
    "--shards", multiple=True, type=FOLDER, help="Shards that hold the people; repeat for several."
)
@click.option(
    "--person",
    help="Id such as 000123 or upper_body/000123, or the photo's path, also below --data.",
)
@click.option(
    "--garment",
    "garments",
    multiple=True,
    help="Id, any JPEG or PNG of a garment, or worn:ID for what that person wears, cut out of the "
    "photo by the label map. Repeat for an outfit: put on in this order.",
)
@click.option(
    "--category",
    "categories",
    multiple=True,
    type=click.Choice(CATEGORY_NAMES),
    help="What the garment is, one for each --garment.  [default: where its id lies]",
)
@click.option(
    "--pairs", type=FILE, help="List: a person and garments on each line, categories where needed."
)
@split_option(help="Dress the pairs of this split.")
@limit_option(help="At most so many: per category with --split.  [default: all]")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="PNG for one person; a folder for a list.",
)
@click.option(
    "--size",
    "size_hw",
    type=ResultSize(),
    default="original",
    show_default=True,
    callback=check_aspect,
    help="Height x width of the results, in pixels, or the photo's own.",
)
@click.option(
    "--network-size",
    "network_hw",
    type=SizeType(32),
    callback=check_aspect,
    help="Height x width at which the network works.  [default: as trained, or 512x384; that of "
    "--shards]",
)
@stretch_option
@mask_style_option(help="How much is hidden.")
@frame_option
@click.option(
    "--raw",
    is_flag=True,
    help="The network's own picture, without putting back the visible pixels.",
)
@click.option(
    "--panel", is_flag=True, help="Also a picture of person, garments, masked person and result."
)
@click.option(
    "--explain",
    is_flag=True,
    help="Also a picture of what lies behind: the warped garment alone, its weight, single flows, "
    "the network's own picture; and the figures of the flows.",
)
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also one picture (JPEG or PNG) of the first three people of each category.",
)
@weights_option
@click.option(
    "--batch-size", type=click.IntRange(1), help="People at once.  [default: 8 on a GPU, else 1]"
)
@device_option
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=available_jobs,
    show_default="all cores",
    help="Threads that read and write beside the network.",
)
def command(
    weights,
    data,
    shards,
    person,
    garments,
    categories,
    pairs,
    split,
    limit,
    out,
    size_hw,
    network_hw,
    mask_style,
    frame,
    raw,
    panel,
    explain,
    sheet,
    choice,
    batch_size,
    device,
    jobs,
):
    """Dress people from --data or --shards with the network in WEIGHTS.

    Without WEIGHTS, with those that come with the program (drawn), trained on drawn people alone.

    One person (--person, --garment), a list (--pairs) or the pairs of a split. Every pixel that the
    mask leaves visible stays exactly the photo's.

    \b
    Examples:
      fittingroom try-on best.pt --data DressCode --person 048392 --garment 048400 --out d.png
      fittingroom try-on best.pt --data DressCode --person 048392 --garment 048400 \\
        --garment 050192 --out outfit.png
      fittingroom try-on best.pt --shards shards/test_unpaired --out dressed
    """
    if bool(data) == bool(shards):
        raise click.UsageError("Give --data, or --shards, where the people are.")
    if bool(person) != bool(garments) or sum((bool(person), bool(pairs), bool(split))) > 1:
        raise click.UsageError("Give --person with --garment, or --pairs, or --split.")
    if categories and person and len(categories) != len(garments):
        raise click.UsageError(
            f"--garment is given {len(garments)} times, --category {len(categories)}: give one for "
            "each garment, or none."
        )
    if data and not (person or pairs or split):
        raise click.UsageError("Say whom to dress: --person and --garment, --pairs, or --split.")
    if person and out.suffix.lower() != ".png":
        raise click.UsageError(f"--out {out}: a name that ends in .png for one person.")
    if not person and out.suffix.lower() in (".png", ".jpg", ".jpeg"):
        raise click.UsageError(f"--out {out}: a folder for a list, not a picture's name.")

    from model.tryon.dress import Look
    from model.tryon.orders import Order, Piece, read_orders
    from model.tryon.predictor import TryOn
    from pipeline.base.labels import Category
    from pipeline.people.in_dataset import DatasetPeople
    from pipeline.people.in_shards import ShardPeople
    from pipeline.people.open import open_people

    people = DatasetPeople(data) if data else ShardPeople(shards)
    kinds = tuple(Category(c) for c in categories)
    if person:
        orders = [
            Order(
                person,
                tuple(Piece(g, c) for g, c in zip(garments, kinds or [None] * len(garments))),
            )
        ]
    elif pairs:
        orders = read_orders(pairs, kinds[0] if kinds else None)[:limit]
    else:
        chosen = open_people(shards or data, kinds or tuple(Category), split, limit=limit)
        orders = [Order.of(who) for who in chosen.names]
    check_writable(sheet)
    _make_folder(out.parent if person else out)
    check_writable(out if person else out / "result.png")
    predictor = TryOn.load(weights, device, choice, frame)
    tell_own(weights)
    if people.frame == REGION and predictor.frame == WHOLE:
        note("The shards show parts of photos; the network was trained on whole ones.")
    elif predictor.frame != predictor.trained_frame:
        note(f"--frame {predictor.frame}: the network was trained on {predictor.trained_frame}.")
    as_shards = shards and people.frame == predictor.frame
    own = people.size_hw if as_shards else predictor.network_hw
    look = Look(network_hw or own, size_hw, mask_style, raw, explain, predictor.frame)
    batch_size = batch_size or (8 if predictor.device.type == "cuda" else 1)
    _dress(
        predictor,
        people,
        orders,
        look,
        out,
        single=bool(person),
        panel=panel,
        sheet=sheet,
        batch_size=batch_size,
        threads=jobs,
    )


def _make_folder(folder: Path) -> None:
    from pipeline.base.errors import DataError
    from pipeline.base.storage import unwritable

    if folder.exists() and not folder.is_dir():
        raise DataError(folder, "is a file", "a folder for the results", "Choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def _remark(people, piece) -> str:
    """What is to be said of where a garment's picture comes from; empty where nothing is."""
    from model.tryon.orders import WORN
    from pipeline.annotate.photos import has_plain_ground, read_photo
    from pipeline.dataset.person import GUESSED

    if piece.garment.startswith(WORN):
        origins = people.origins(piece.garment.removeprefix(WORN), piece.category)
        return GUESS if origins.get("label_map") == GUESSED else ""
    path = Path(piece.garment)
    return NOT_PLAIN if path.is_file() and not has_plain_ground(read_photo(path)) else ""


def _dress(
    predictor,
    people,
    orders,
    look,
    out: Path,
    *,
    single: bool,
    panel: bool,
    sheet: Path | None,
    batch_size: int,
    threads: int,
) -> None:
    from model.tryon.dress import Sheet, try_on
    from pipeline.base.errors import DataError
    from pipeline.inspect.overlays import write_picture

    problems: list[str] = []
    shown = Sheet()
    told: set[str] = set()

    def beside(path: Path, name: str, picture) -> None:
        place = path.with_name(f"{path.stem}-{name}.png")
        write_picture(place, picture)
        if single:
            note(f"Written: {place}")

    def finish(dressed) -> None:
        path = out if single else out / f"{dressed.order.name}.png"
        write_picture(path, dressed.picture)
        if panel:
            beside(path, "panel", dressed.panel())
        for piece in dressed.order.pieces:
            if piece.garment not in told and (remark := _remark(people, piece)):
                note(f"{piece.garment} {remark}")
            told.add(piece.garment)
        if dressed.explained:
            beside(path, "explain", dressed.explanation())
            note(f"{dressed.order.name}: {dressed.explained.told()}")
        if sheet:
            shown.add(dressed)

    with progress("Dressing", len(orders)) as advance:

        def failed(order, error: DataError) -> None:
            problems.append(str(error))
            note(f"{order.name} is left out: {error}")
            advance(1)

        done = 0
        for _ in try_on(
            predictor,
            people,
            orders,
            look,
            batch_size=batch_size,
            threads=threads,
            finish=finish,
            failed=None if single else failed,
        ):
            done += 1
            advance(1)
    if problems:
        raise DataError(
            out,
            f"{done:,} dressed, {len(problems):,} left out",
            "",
            f"The first problem: {problems[0]}",
        )
    if sheet:
        write_picture(sheet, shown.picture())
    click.echo(str(out) if single else f"{done:,} dressed in {out}")
