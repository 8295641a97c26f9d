"""Several methods in one table: for a terminal, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.evaluation.figures import PICTURES
from model.tryon.figures import COLUMNS, PAIRED, UNPAIRED
from pipeline.base.errors import DataError
from pipeline.base.storage import write_whole

Cells = list[str]
SIGNS = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$"}


def methods_table(
    result: dict[str, Any], kinds: tuple[str, ...] = (PAIRED, UNPAIRED)
) -> tuple[Cells, list[Cells]]:
    """Headings and rows of text: one row for each kind, group, method and picture; only columns
    that any of them has. "–" where a figure was not measured. A method whose own picture is its
    composite, as a baseline's is, has one row."""
    rows = [
        (kind, group, method["name"], picture, figures)
        for kind in kinds
        for group in _groups(result, kind)
        for method in result["methods"]
        for picture in (PICTURES[:1] if method.get("baseline") else PICTURES)
        if (figures := method["pictures"][picture][kind].get(group))
    ]
    columns = [c for c in COLUMNS if any(row[-1].get(c[0]) is not None for row in rows)]
    cells = [
        [f"{kind}, {group.replace('_', ' ')}", name, picture]
        + [_cell(figures.get(column), form) for column, _, form in columns]
        for kind, group, name, picture, figures in rows
    ]
    return ["", "method", "picture", *(heading for _, heading, _ in columns)], cells


def _groups(result: dict[str, Any], kind: str) -> list[str]:
    found: dict[str, None] = {}
    for method in result["methods"]:
        for picture in PICTURES:
            found |= dict.fromkeys(method["pictures"][picture][kind])
    return list(found)


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def as_text(heads: Cells, rows: list[Cells]) -> str:
    """Columns side by side; the first three to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows)]
    lines = []
    for row in (heads, *rows):
        padded = [c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def as_csv(heads: Cells, rows: list[Cells]) -> str:
    """Comma-separated, figures as plain numbers, nothing where none was measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["group", *heads[1:]])
    for row in rows:
        writer.writerow(
            ["" if c == "–" else c.replace(",", "") if c[:1].isdigit() else c for c in row]
        )
    return out.getvalue()


def as_markdown(heads: Cells, rows: list[Cells]) -> str:
    line = lambda cells: "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"
    rule = "|" + "---|" * 3 + "---:|" * (len(heads) - 3)
    return "\n".join([line(heads), rule, *map(line, rows)]) + "\n"


def as_latex(heads: Cells, rows: list[Cells]) -> str:
    """A ``tabular`` with booktabs' rules."""
    line = lambda cells: " & ".join(map(_latex, cells)) + r" \\"
    body = [line(heads), r"\midrule", *map(line, rows)]
    form = "l" * 3 + "r" * (len(heads) - 3)
    return "\n".join(
        [rf"\begin{{tabular}}{{{form}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}", ""]
    )


def _latex(text: str) -> str:
    return "".join(SIGNS.get(sign, "--" if sign == "–" else sign) for sign in text)


FORMS: dict[str, Callable[[Cells, list[Cells]], str]] = {
    ".csv": as_csv,
    ".md": as_markdown,
    ".tex": as_latex,
    ".txt": as_text,
}


def write_table(path: Path, result: dict[str, Any]) -> None:
    """The table in the form that the name's end says. Raises DataError for another end."""
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise DataError(path, f"a name that ends in {path.suffix!r}", " or ".join(FORMS))
    write_whole(path, form(*methods_table(result)).encode())
