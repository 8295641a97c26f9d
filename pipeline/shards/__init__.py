"""HDF5 shards: written, read, and strung together.

Samples enter; files that h5py alone can read leave, and come back as samples or people.
``format`` says byte by byte what a shard holds (docs/shards.md): a change there is a new version of
the format. ``people`` gives the people of a dataset or of shards in one form.
"""
