"""``inspect-mask``: whether to trust the masks of a dataset or of shards; scores, a report to look
at, a list to leave out."""

from __future__ import annotations

import math
from pathlib import Path

import click

from commands.common import check_writable, note, progress
from commands.options import (
    category_option,
    jobs_option,
    mask_style_option,
    size_option,
    split_option,
)
from pipeline.base.names import LABELLING_TOOLS
from pipeline.masks.styles import ALL_STYLES

LISTED = 10
WRITTEN = click.Path(dir_okay=False, path_type=Path)


class Threshold(click.ParamType):  # type: ignore[type-arg]
    """``SCORE=VALUE`` -> (name, value); 2 % is 0.02."""

    name = "SCORE=VALUE"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        name, _, number = str(value).partition("=")
        percent = number.strip().endswith("%")
        try:
            limit = float(number.strip().rstrip("%")) / (100 if percent else 1)
            if not name.strip() or not math.isfinite(limit):
                raise ValueError
        except ValueError:
            self.fail(f"{value!r}; write a score and a number, such as leak=0.01.", param, ctx)
        return name.strip(), limit


@click.command()
@click.argument("data", metavar="DATA_OR_SHARDS", type=click.Path(path_type=Path))
@click.argument("ids", metavar="[ID]...", nargs=-1)
@category_option
@split_option(help="List of the dataset.  [default: train; with IDs all]")
@mask_style_option(help="Mask to score.", flag="--style")
@click.option(
    "--against",
    type=click.Choice(ALL_STYLES),
    help="Another style to show beside it, with IoU and difference.",
)
@click.option(
    "--worst",
    type=click.IntRange(1),
    metavar="N",
    help="Show only the N worst people, the worst first.",
)
@click.option(
    "--by",
    default="trouble",
    show_default=True,
    metavar="SCORE",
    help="Score that says who is worst.",
)
@click.option(
    "--sample", type=click.IntRange(1), metavar="N", help="Take only N people, by chance."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The same seed takes the same people."
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Take at most N people per category, the first of the list.",
)
@size_option(
    multiple=1, help="Height x width in pixels at which a dataset is read; shards have their own."
)
@click.option(
    "--data",
    "dataset",
    type=click.Path(path_type=Path),
    help="With shards: the dataset they were made of, to tell masks that are out of date.",
)
@click.option(
    "--out",
    type=WRITTEN,
    help="Write the report, one HTML file; above 60 people with a folder of pictures beside it.",
)
@click.option(
    "--sheet", type=WRITTEN, help="Write a contact sheet of up to 60 people, PNG or JPEG."
)
@click.option(
    "--export",
    type=(click.Choice(LABELLING_TOOLS), click.Path(file_okay=False, path_type=Path)),
    metavar="TOOL FOLDER",
    help="Write the shown people's photos, masks and label maps into a new folder that cvat, "
    "label-studio or fiftyone imports.",
)
@click.option("--csv", "csv_path", type=WRITTEN, help="Write everybody's scores as a table.")
@click.option("--json", "json_path", type=WRITTEN, help="Write everybody's scores as JSON.")
@click.option(
    "--fail-below",
    type=Threshold(),
    multiple=True,
    help="Exit code 1 if anybody's score is below, such as id=0.98; repeat for several.",
)
@click.option(
    "--fail-above", type=Threshold(), multiple=True, help="The same for above, such as leak=0.01."
)
@click.option(
    "--reject",
    type=WRITTEN,
    help="Write who fails the thresholds (without any: who is worth a look) for "
    "preprocess --exclude.",
)
@click.option(
    "--costly",
    is_flag=True,
    help="Also score cf and room, which cost as much as several masks; either alone where --by or "
    "a threshold names it.",
)
@jobs_option
@click.pass_context
def command(
    ctx,
    data,
    ids,
    categories,
    split,
    style,
    against,
    worst,
    by,
    sample,
    seed,
    limit,
    size_hw,
    dataset,
    out,
    sheet,
    export,
    csv_path,
    json_path,
    fail_below,
    fail_above,
    reject,
    costly,
    jobs,
):
    """Score the agnostic masks of a dataset or of shards, and show them: all people, some IDs, or
    the worst.

    Exit code 1 if anybody fails a threshold, 0 otherwise.

    Example:

      fittingroom inspect-mask shards/train --worst 40 --out worst.html
    """
    from pipeline.inspect.inspection import Question, beyond, choose, judge_all, score_names
    from pipeline.inspect.room import find_donors
    from pipeline.people.open import open_people

    _check_places(out, sheet, export, reject, csv_path, json_path)
    asked = _check_names(by, fail_below, fail_above)
    if against == style:
        raise click.UsageError(f"--against {against}: the same as --style. Choose another.")
    people = open_people(data, categories, split, size_hw, limit, ids)
    named = ctx.get_parameter_source("size_hw") is click.core.ParameterSource.COMMANDLINE
    if named and people.stored_styles and tuple(size_hw) != tuple(people.size_hw):
        told = "x".join(map(str, people.size_hw))
        raise click.UsageError(f"--size is for datasets: the people of these shards have {told}.")
    if sample is not None:
        people = people.part(_by_chance(len(people.names), sample, seed))
    donors = find_donors(people) if costly or "room" in asked else ()
    question = Question(style, against, _twins(people, dataset), costly or "cf" in asked, donors)
    _tell_stored(people, question)
    with progress("Masks scored", len(people.names)) as advance:
        verdicts = judge_all(people, question, jobs, advance)
    known = score_names(verdicts)
    chosen = choose(verdicts, worst, by)
    _print_table(verdicts, known)
    failed = beyond(verdicts, dict(fail_below), dict(fail_above))
    _print_worst(choose(verdicts, LISTED, by), by)
    about = _about(data, people, verdicts, chosen, question, worst, by)
    _write_lists(
        verdicts, failed, bool(fail_below or fail_above), csv_path, json_path, reject, about
    )
    sort = "order" if worst or by == "trouble" else by
    _write_pictures(people, chosen, verdicts, question, about, sort, out, sheet, jobs)
    if export:
        _export(people, chosen, style, *export)
    if fail_below or fail_above:
        _print_failed(failed)
        ctx.exit(1 if failed else 0)


def _export(people, chosen, style: str, tool: str, folder: Path) -> None:
    from pipeline.labelling.export import export_labels

    rows = [v.row for v in chosen]
    with progress("Labels written", len(rows)) as advance:
        left_out = export_labels(people, rows, style, tool, folder, advance)
    for reason in left_out:
        note(f"Left out: {reason}")
    note(f"For {tool}: {folder}")


def _by_chance(count: int, sample: int, seed: int) -> list[int]:
    import random

    return sorted(random.Random(seed).sample(range(count), min(sample, count)))


def _check_places(
    out, sheet, export: tuple[str, Path] | None, reject: Path | None, *others
) -> None:
    """Wrong names and folders are told before the work, not after it."""
    if out and out.suffix.lower() not in (".html", ".htm"):
        raise click.BadParameter(f"{out}: a name that ends in .html.", param_hint="--out")
    if sheet and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise click.BadParameter(
            f"{sheet}: a name that ends in .png or .jpg.", param_hint="--sheet"
        )
    check_writable(out, sheet, *others, reject)
    if reject:
        from pipeline.inspect.inspection import check_rejects

        check_rejects(reject)
    if export:
        from pipeline.labelling.export import begin

        begin(export[1])


def _twins(people, dataset: Path | None):
    if dataset is None:
        return None
    if not people.stored_styles:
        raise click.UsageError("--data goes with shards: it names the dataset they were made of.")
    from pipeline.people.open import dataset_twin

    return dataset_twin(dataset, people.names)


def _tell_stored(people, question) -> None:
    """Where masks of shards are older than this software, or not stored at all."""
    from pipeline.masks.render import MASK_VERSION

    if not people.stored_styles:
        return
    for style in question.styles:
        if style not in people.stored_styles:
            note(
                f"The shards hold no masks of style {style}: drawn now from their keypoints, "
                "maps and photos."
            )
    versions = people.mask_versions
    if versions != {MASK_VERSION}:
        old = ", ".join(str(v) for v in sorted(versions - {MASK_VERSION}))
        note(
            f"The shards hold masks of version {old}; this software draws version {MASK_VERSION}. "
            f"Add --data to see "
            "which differ."
        )
    if skipped := people.skipped:
        note(f"{skipped:,} people were left out when the shards were made: see their index.json.")


def _check_names(by: str, *thresholds) -> set[str]:
    """Names of the scores that are asked for. A misspelt one is wrong usage, told before anybody is
    scored: a threshold on it would never fail."""
    from pipeline.inspect.thresholds import all_score_names, limit_of

    known = ["trouble", *all_score_names()]
    asked = [by, *(name for threshold in thresholds for name, _ in threshold)]
    titles = {limit_of(name).title: name for name in known if name != "trouble"}
    if unknown := [name for name in asked if name not in known]:
        if name := titles.get(unknown[0]):
            raise click.UsageError(f"{unknown[0]!r} is what reports call {name}: write that.")
        raise click.UsageError(f"No score {unknown[0]!r}. There are: {', '.join(known)}.")
    return set(asked)


def _console():
    from rich.console import Console

    return Console() if Console().is_terminal else Console(width=150)


def _print_table(verdicts, known: list[str]) -> None:
    """Means per category; yellow and red where people's limits are passed."""
    from rich.table import Table

    from pipeline.base.labels import Category
    from pipeline.inspect.thresholds import concern, limit_of, tell

    present = [c for c in Category if any(v.who.category is c for v in verdicts)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("mean")
    for category in present:
        table.add_column(str(category), justify="right")
    table.add_column("what it says", style="dim")
    mine = {c: [v for v in verdicts if v.who.category is c] for c in present}
    table.add_row("people", *(f"{len(mine[c]):,}" for c in present), "")
    table.add_row(
        "can't be used",
        *(
            _toned(f"{(n := sum(bool(v.problems) for v in mine[c])):,}", 2 * (n > 0))
            for c in present
        ),
        "sources that are missing or can't be read",
    )
    for name in known:
        cells = []
        for category in present:
            values = [
                v.scores[name]
                for v in mine[category]
                if not math.isnan(v.scores.get(name, math.nan))
            ]
            average = sum(values) / len(values) if values else math.nan
            cells.append(_toned(tell(name, average), concern(name, average, category)))
        table.add_row(name, *cells, limit_of(name).meaning)
    _console().print(table)


def _toned(text: str, concern: float) -> str:
    return f"[red]{text}[/]" if concern >= 1 else f"[yellow]{text}[/]" if concern >= 0.1 else text


def _print_worst(verdicts, by: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    from pipeline.inspect.thresholds import tell

    shown = [v for v in verdicts if v.reasons or by != "trouble"]
    if not shown:
        click.echo("\nNobody is worth a look.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("worst people", no_wrap=True)
    table.add_column(by, justify="right")
    table.add_column("why")
    for v in shown:
        value = f"{v.trouble:.2f}" if by == "trouble" else tell(by, v.scores.get(by, math.nan))
        table.add_row(v.who.key, "-" if v.problems else value, escape(", ".join(v.reasons[:4])))
    click.echo()
    _console().print(table)


def _print_failed(failed) -> None:
    click.echo()
    for verdict, reason in failed:
        click.echo(f"{verdict.who.key}  {reason}")
    click.echo(
        f"{len(failed):,} {'person fails' if len(failed) == 1 else 'people fail'} the thresholds."
    )


def _about(data: Path, people, verdicts, chosen, question, worst, by: str) -> str:
    """One line on what the report shows."""
    kind = "shards" if people.stored_styles else "dataset"
    size = "x".join(map(str, people.size_hw))
    which = (
        f"{len(chosen):,} of {len(verdicts):,}"
        if len(chosen) < len(verdicts)
        else f"{len(verdicts):,}"
    )
    words = [
        f"{which} {'person' if which == '1' else 'people'} of the {kind} {data.absolute().name}",
        "split " + ", ".join(sorted({v.who.split for v in verdicts})),
        f"at {size}",
        f"masks of style {question.style}",
    ]
    if question.against:
        words.append(f"beside {question.against}")
    if worst:
        words.append(f"the worst by {by}")
    return ", ".join(words)


def _write_lists(
    verdicts, failed, thresholds: bool, csv_path, json_path, reject, about: str
) -> None:
    from pipeline.inspect.inspection import beyond, write_csv, write_rejects, write_scores
    from pipeline.inspect.report import WORTH_A_LOOK

    if csv_path:
        write_csv(csv_path, verdicts)
    if json_path:
        write_scores(json_path, verdicts, {"about": about})
    if reject:
        if not thresholds:
            failed = beyond(verdicts, {}, {}) + [
                (v, ", ".join(v.reasons))
                for v in verdicts
                if v.trouble >= WORTH_A_LOOK and not v.problems
            ]
        write_rejects(reject, failed)
        note(f"{len(failed):,} {'person' if len(failed) == 1 else 'people'} to leave out: {reject}")


def _write_pictures(
    people, chosen, verdicts, question, about: str, sort: str, out, sheet, jobs: int
) -> None:
    from pipeline.inspect.overlays import write_picture
    from pipeline.inspect.report import SHEET_ROWS, About, make_sheet, write_report

    if out:
        with progress("People drawn", len(chosen)) as advance:
            words = About("Agnostic masks", about, sort)
            folder = write_report(out, people, chosen, question, words, jobs, advance, verdicts)
        note(f"Report: {out}" + (f" with its pictures in {folder}" if folder else ""))
    if sheet:
        with progress("Contact sheet", min(len(chosen), SHEET_ROWS)) as advance:
            write_picture(sheet, make_sheet(people, chosen, question, progress=advance))
        more = f" (the first {SHEET_ROWS} of {len(chosen):,})" if len(chosen) > SHEET_ROWS else ""
        note(f"Contact sheet: {sheet}{more}")
