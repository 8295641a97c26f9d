"""Masks scored and shown.

People and a style enter; scores, verdicts, an HTML page and contact sheets leave. ``scores``
defines each figure, ``thresholds`` from where on it deserves a look; the report's page lies beside
its module.
"""
