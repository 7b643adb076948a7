"""One of several values, which one depends on the step: in the union of all steps."""

from __future__ import annotations

from ...primitive import variadic

EITHER = variadic("either", lambda *of: of[0], lambda g, i, node: g, lambda t, i, node: t)
"""Gradients flow through it to each of its arguments; it is not drawn."""
