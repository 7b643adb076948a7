"""Studying gradients: check what was derived by hand, see where a gradient comes from and goes."""

from . import handwritten
from .comparison import Agreement, Comparison, Row, compare
from .contributions import Contributions, contributions
from .jacobians import (
    jacobians,
    lyapunov_exponents,
    norms_against_lag,
    pascanu_bound,
    products,
    singular_values,
    step_bound,
)

__all__ = [
    "Agreement",
    "Comparison",
    "Contributions",
    "Row",
    "compare",
    "contributions",
    "handwritten",
    "jacobians",
    "lyapunov_exponents",
    "norms_against_lag",
    "pascanu_bound",
    "products",
    "singular_values",
    "step_bound",
]
