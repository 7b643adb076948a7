"""The demo's page: one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def render(values: Mapping[str, Any]) -> str:
    """The page as HTML. Everything that is text is escaped; drawings come in as SVG elements."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tinygrad_rnn", "demo"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters.update(power=power, figures=figures, subscript=_subscript)
    return environment.get_template("page.html.j2").render(values)


def figures(x: float) -> str:
    """A number with four significant figures.

    >>> figures(23.4712), figures(0.00123456)
    ('23.47', '0.001235')
    """
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    return f"{x:.{max(0, 3 - math.floor(math.log10(abs(x))))}f}"


def power(x: float) -> Any:
    """A number as 3.8 · 10^-10, in HTML.

    >>> str(power(3.8e-10))
    '3.8&hairsp;·&hairsp;10<sup>−10</sup>'
    """
    from markupsafe import Markup

    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    digits, exponent = f"{x:.1e}".split("e")
    return Markup("{}&hairsp;·&hairsp;10<sup>{}</sup>").format(
        digits, str(int(exponent)).replace("-", "−")
    )


def _subscript(name: str) -> Any:
    """s_0 as s with a small 0 below."""
    from markupsafe import Markup

    stem, _, index = name.partition("_")
    return Markup("{}<sub>{}</sub>").format(stem, index) if index else stem
