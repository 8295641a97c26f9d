"""Masks and label maps for the tools in which people mend pictures.

People enter, with the style of their masks; a folder leaves that CVAT, Label Studio or FiftyOne
imports. Another tool is another module beside ``cvat``, and a name in
``base.names.LABELLING_TOOLS``.
"""
