"""A trained network put to use: people dressed, weights passed on.

Weights, people and garments enter; dressed pictures, or exported weights with their card, leave.
``predictor`` opens weights, ``sources`` people and garments from files, datasets and shards.
"""
