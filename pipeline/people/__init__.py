"""People, whether they lie in a dataset or in shards.

A folder enters; a sequence of ``Person`` leaves, which also finds people and garments by their ids.
Inspection, try-on and the demo page all read through it. ``open`` is the door, ``source`` says what
every source can do; another kind of source is another class beside ``in_dataset`` and
``in_shards``.
"""
