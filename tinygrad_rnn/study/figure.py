"""A figure that a notebook shows without a magic line."""

from __future__ import annotations

from io import BytesIO

from matplotlib import figure


class Figure(figure.Figure):
    """Matplotlib's figure, without pyplot: as the last line of a notebook's cell it is a picture.

    Where `%matplotlib inline` is set, matplotlib's own way of showing figures is used.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        out = BytesIO()
        self.savefig(out, format="png", metadata={"Software": None})
        width, height = (round(96 * inches) for inches in self.get_size_inches())
        return out.getvalue(), {"width": width, "height": height}
