"""Names of the mask styles; kept apart, so that a command line knows them without drawing any."""

STYLES = ("standard", "recipe", "tight", "loose")
"""The built-in styles: what ``preprocess`` stores unless asked for others."""
PEER_STYLES = ("daflow", "dresscode", "ladi", "ootd", "catvton", "hr-viton")
"""Recipes of other projects, drawn by ``pipeline.masks.peers``: for comparison, and for weights
that were trained with one of them."""
ALL_STYLES = STYLES + PEER_STYLES
STANDARD = STYLES[0]
"""What is drawn unless another style is asked for."""
