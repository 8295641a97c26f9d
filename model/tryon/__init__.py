"""A trained network put to use: people dressed, weights passed on.

Weights, people and garments enter; dressed pictures, or exported weights with their card, leave.
``predictor`` opens weights, ``step`` is the one way to put a garment on somebody, ``orders`` says
who puts on what; people come from ``pipeline.people``.
"""
