"""Figures of a network on held-out people.

A network and shards enter; figures per category, and a page, leave. ``metrics`` defines the figures
of pictures, ``fid`` those of sets; a new figure starts there and in docs/evaluation.md.
"""
