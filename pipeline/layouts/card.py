"""The card beside an export: source, masks, counts, licence, and what was left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.base.manifest import load_manifest
from pipeline.layouts.lists import Rows
from pipeline.layouts.tables import Layout

SHOWN_LEFT_OUT = 50


def render_card(record: dict[str, Any], layout: Layout, rows: Rows) -> str:
    """Markdown; for Parquet with the header by which ``load_dataset`` finds the splits.

    Args:
        record: what export.json holds.
        layout: its row of the table.
        rows: split -> pairs.
    """
    licence = load_manifest().licence
    name, form = record["layout"]
    height, width = record["size_hw"]
    parts = [_header(name, rows), f"# {name}: people and masks for {layout.readers}", ""]
    parts += [
        f"- source: {record['source']}",
        f"- form: {form}, {height} x {width} (height x width)",
        f"- masks: style `{record['style']}`, version {record['mask_version']}, 255 = hidden",
        f"- written by fittingroom {record['software']}",
    ]
    if "frame" in record:
        parts.append(
            "- pictures show the part of the photo around the garment, not the whole photo"
        )
    if not layout.masks:
        parts.append("- this reader draws its own masks: those in agnostic_masks/ are not opened")
    if layout.note:
        parts += ["", layout.note]
    parts += ["", "| split | " + " | ".join(_categories(rows)) + " |"]
    parts.append("|---" * (len(_categories(rows)) + 1) + "|")
    for split, pairs in rows.items():
        counts = Counter(str(r.category) for r in pairs)
        cells = [f"{counts[c]:,}" for c in _categories(rows)]
        parts.append(f"| {split} | " + " | ".join(cells) + " |")
    parts += ["", "## Licence", "", licence.notice, "", licence.terms, ""]
    parts += ["## Left out", "", *_left_out(record["left_out"])]
    return "\n".join(parts) + "\n"


def _header(name: str, rows: Rows) -> str:
    if name != "parquet":
        return ""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split in rows:
        lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    return "\n".join([*lines, "---", ""])


def _categories(rows: Rows) -> list[str]:
    return sorted({str(r.category) for pairs in rows.values() for r in pairs})


def _left_out(entries: list[dict[str, Any]]) -> list[str]:
    if not entries:
        return ["Nobody."]
    lines = [f"- {e['split']} {e['person']}: {e['reason']}" for e in entries[:SHOWN_LEFT_OUT]]
    if len(entries) > SHOWN_LEFT_OUT:
        lines.append(f"- and {len(entries) - SHOWN_LEFT_OUT:,} more, in export.json")
    return lines
