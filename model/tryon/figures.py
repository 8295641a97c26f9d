"""Figures of an evaluation as a table of text, for page, terminal and the weights' card."""

from __future__ import annotations

from typing import Any

PAIRED, UNPAIRED = "paired", "unpaired"
COLUMNS = (
    ("count", "people", "{:,}"),
    ("ssim", "SSIM", "{:.4f}"),
    ("psnr", "PSNR dB", "{:.2f}"),
    ("l1", "L1", "{:.4f}"),
    ("lpips", "LPIPS", "{:.4f}"),
    ("ssim_inside", "SSIM inside", "{:.4f}"),
    ("psnr_inside", "PSNR inside", "{:.2f}"),
    ("l1_inside", "L1 inside", "{:.4f}"),
    ("likeness_inside", "likeness inside", "{:.4f}"),
    ("detail", "detail", "{:.3f}"),
    ("gradient_correlation", "gradients alike", "{:.3f}"),
    ("ssim_neckline", "SSIM neckline", "{:.4f}"),
    ("lpips_neckline", "LPIPS neckline", "{:.4f}"),
    ("ssim_ends", "SSIM hem, cuffs", "{:.4f}"),
    ("colours_apart", "colours apart", "{:.3f}"),
    ("pattern_apart", "pattern apart", "{:.3f}"),
    ("l1_outside", "L1 outside", "{:.4f}"),
    ("fid", "FID", "{:.2f}"),
    ("kid", "KID", "{:.5f}"),
)
"""Name in the result, heading, format. Inside: over the pixels that the mask hides."""


def figure_table(metrics: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: one row for each kind and group, only columns that any of them
    has."""
    groups = [
        (kind, group, figures)
        for kind in (PAIRED, UNPAIRED)
        for group, figures in metrics[kind].items()
    ]
    columns = [c for c in COLUMNS if any(figures.get(c[0]) is not None for _, _, figures in groups)]
    cell = lambda value, form: "–" if value is None else form.format(value)
    rows = [
        [f"{kind}, {group.replace('_', ' ')}"]
        + [cell(figures.get(name), form) for name, _, form in columns]
        for kind, group, figures in groups
    ]
    return ["", *(heading for _, heading, _ in columns)], rows
