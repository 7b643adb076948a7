"""Studying gradients: check what was derived by hand, see where a gradient comes from and goes."""

from . import handwritten, pictures
from .carry import carry
from .comparison import Agreement, Comparison, Row, compare
from .contributions import Contributions, contributions
from .derive import Derivation, derive
from .diagnose import Diagnosis, Remedy, diagnose
from .gates import Gate, gates
from .jacobians import (
    jacobians,
    lyapunov_exponents,
    norms_against_lag,
    pascanu_bound,
    products,
    singular_values,
    step_bound,
)
from .locate import Finding

__all__ = [
    "Agreement",
    "Comparison",
    "Contributions",
    "Derivation",
    "Diagnosis",
    "Finding",
    "Gate",
    "Remedy",
    "Row",
    "carry",
    "compare",
    "contributions",
    "derive",
    "diagnose",
    "gates",
    "handwritten",
    "jacobians",
    "lyapunov_exponents",
    "norms_against_lag",
    "pascanu_bound",
    "pictures",
    "products",
    "singular_values",
    "step_bound",
]
