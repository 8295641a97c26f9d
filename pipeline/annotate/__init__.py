"""Annotations for photos from elsewhere, in Dress Code's layout.

Photos, garment pictures and other programs' files (OpenPose, parsers, DensePose, VITON-HD) enter; a
dataset that every other command takes leaves. A new format is a reader in ``imports``.
"""
