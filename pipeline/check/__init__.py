"""Every defect of a dataset, told before anything is packed.

A dataset enters; ``Defect`` rows leave. A new kind of defect is a row in ``defects`` and a rule in
``person`` (one person's files) or ``dataset`` (the lists, and people compared).
"""
