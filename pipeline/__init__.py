"""Dress Code to HDF5: reading, masks, shards. Never imports torch."""

__version__ = "0.2.0"
