"""Masks and annotations for other trainers, in the layouts that they read.

People of a dataset or of shards and a mask style enter; folders, tar files or Parquet that a named
reader opens leave, with a card that tells what is inside. A layout is a row of ``tables``: paths
and the layer that goes there. A new layer is a method of ``Subject``.
"""
