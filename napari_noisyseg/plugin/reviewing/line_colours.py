"""Colours of the outlines: neither those of doubt and probability, nor of usual labels.

They are told apart by their style as well: solid and dashed.
"""

from __future__ import annotations

ANNOTATION = (1.0, 1.0, 1.0)
PROPOSAL = (0.25, 1.0, 0.45)
CASING = (0.0, 0.0, 0.0)
"""On both sides of every line, so that it is seen on dark and on bright."""
