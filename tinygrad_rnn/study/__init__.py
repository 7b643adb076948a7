"""Studying gradients: derivations checked, the parts of a gradient, and its flow through time."""

from ..equations import Derivation, derive
from . import handwritten, plots
from .comparison import Agreement, Comparison, Row, compare
from .contributions import Contributions, contributions
from .diagnose import Diagnosis, Remedy, diagnose
from .exercises import Exercise, exercise
from .finding import Finding
from .gates import Gate, gates
from .influence import Reach, reach
from .jacobians import (
    jacobians,
    lyapunov_errors,
    lyapunov_exponents,
    norms_against_lag,
    pascanu_bound,
    products,
    singular_values,
    step_bound,
)
from .retention import retention
from .truncation import Truncation, truncation

__all__ = [
    "Agreement",
    "Comparison",
    "Contributions",
    "Derivation",
    "Diagnosis",
    "Exercise",
    "Finding",
    "Gate",
    "Reach",
    "Remedy",
    "Row",
    "Truncation",
    "truncation",
    "retention",
    "compare",
    "contributions",
    "derive",
    "diagnose",
    "exercise",
    "gates",
    "handwritten",
    "jacobians",
    "lyapunov_errors",
    "lyapunov_exponents",
    "norms_against_lag",
    "pascanu_bound",
    "plots",
    "products",
    "reach",
    "singular_values",
    "step_bound",
]
