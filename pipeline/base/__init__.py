"""What every room stands on: ids of joints, labels and parts, the manifest's facts, files read
within bounds and written whole, and the one kind of error.

Paths and bytes enter; checked bytes, names and ``DataError`` leave. A newcomer may add a label
table or a fact of the manifest; whoever changes ``files`` or ``storage`` changes what every other
room promises about bad and half-written files.
"""
