"""HDF5 shards: written, read, and strung together.

People enter; files that h5py alone can read leave, and come back as people, or a part of each.
``format`` says byte by byte what a shard holds (docs/shards.md): a change there is a new version of
the format.
"""
