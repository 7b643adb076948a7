"""The primitives that readers of a record speak of, by name.

Most readers ask a primitive for its kind and its notation; rewriting expressions takes some of
them by name.
"""

from ..primitive import Primitive
from . import (
    activation,
    compare,
    einstein,
    elementwise,
    exponential,
    index,
    join,
    linalg,
    reduce,
    shape,
)
from .registry import PRIMITIVES

ADD: Primitive = PRIMITIVES["add"]
SUBTRACT: Primitive = PRIMITIVES["subtract"]
MULTIPLY: Primitive = PRIMITIVES["multiply"]
DIVIDE: Primitive = PRIMITIVES["divide"]
NEGATIVE: Primitive = PRIMITIVES["negative"]
POWER: Primitive = PRIMITIVES["power"]
SQRT: Primitive = PRIMITIVES["sqrt"]
SQUARE: Primitive = PRIMITIVES["square"]
EXP: Primitive = PRIMITIVES["exp"]
LOG: Primitive = PRIMITIVES["log"]
LOGADDEXP: Primitive = PRIMITIVES["logaddexp"]
SIGMOID: Primitive = PRIMITIVES["sigmoid"]
TANH: Primitive = PRIMITIVES["tanh"]
EQUAL: Primitive = compare.EQUAL
GREATER: Primitive = compare.GREATER
GREATER_EQUAL: Primitive = compare.GREATER_EQUAL
LESS: Primitive = compare.LESS
LESS_EQUAL: Primitive = compare.LESS_EQUAL
NOT_EQUAL: Primitive = compare.NOT_EQUAL
EINSUM: Primitive = einstein._einsum
ERF: Primitive = PRIMITIVES["erf"]
ERFC: Primitive = PRIMITIVES["erfc"]
GELU: Primitive = PRIMITIVES["gelu"]
NORMAL_CDF: Primitive = activation._normal_cdf
ISFINITE: Primitive = compare._ISFINITE
EXPM_ALONG: Primitive = exponential._expm_along
INSIDE: Primitive = elementwise.inside
IS_EQUAL: Primitive = elementwise.is_equal
IS_POSITIVE: Primitive = elementwise.is_positive
IS_ZERO: Primitive = elementwise.is_zero
SHARE: Primitive = elementwise.share
WHERE: Primitive = elementwise._where
LOGICAL_AND: Primitive = compare._AND
LOGICAL_OR: Primitive = compare._OR
LOGICAL_XOR: Primitive = compare._XOR
LOGICAL_NOT: Primitive = compare._NOT
GETITEM: Primitive = index._getitem
PUT_ALONG_AXIS: Primitive = index._put
PUT_ROWS: Primitive = index._put_rows
INDEX_ADD: Primitive = index._index_add
SCATTER: Primitive = index._scatter
TAKE_ALONG_AXIS: Primitive = index._pick
CONCATENATE: Primitive = join._concatenate
SPLIT: Primitive = join._split
STACK: Primitive = join._stack
UNSTACK: Primitive = join._unstack
FROM_DIAGONAL: Primitive = linalg._from_diagonal
MATMUL: Primitive = linalg._matmul
DEVIATION: Primitive = reduce._deviation
LOG_SOFTMAX: Primitive = reduce._log_softmax
LOGSUMEXP: Primitive = reduce._logsumexp
MAX: Primitive = reduce._max
MIN: Primitive = reduce._min
SOFTMAX: Primitive = reduce._softmax
EVENLY: Primitive = reduce._evenly
MEAN: Primitive = reduce._mean
SUM: Primitive = reduce._sum
BROADCAST_TO: Primitive = shape._broadcast_to
FLIP: Primitive = shape._flip
MOVEAXIS: Primitive = shape._moveaxis
PERMUTE: Primitive = shape._transpose
RESHAPE: Primitive = shape._reshape
SWAPAXES: Primitive = shape._swapaxes

__all__ = [
    "ADD",
    "BROADCAST_TO",
    "CONCATENATE",
    "DEVIATION",
    "DIVIDE",
    "EINSUM",
    "EQUAL",
    "ERF",
    "ERFC",
    "EVENLY",
    "EXP",
    "EXPM_ALONG",
    "FLIP",
    "FROM_DIAGONAL",
    "GELU",
    "GETITEM",
    "GREATER",
    "GREATER_EQUAL",
    "INDEX_ADD",
    "INSIDE",
    "ISFINITE",
    "IS_EQUAL",
    "IS_POSITIVE",
    "IS_ZERO",
    "LESS",
    "LESS_EQUAL",
    "LOG",
    "LOGADDEXP",
    "LOGICAL_AND",
    "LOGICAL_NOT",
    "LOGICAL_OR",
    "LOGICAL_XOR",
    "LOGSUMEXP",
    "LOG_SOFTMAX",
    "MATMUL",
    "MAX",
    "MEAN",
    "MIN",
    "MOVEAXIS",
    "MULTIPLY",
    "NEGATIVE",
    "NORMAL_CDF",
    "NOT_EQUAL",
    "PERMUTE",
    "POWER",
    "PUT_ALONG_AXIS",
    "PUT_ROWS",
    "RESHAPE",
    "SCATTER",
    "SHARE",
    "SIGMOID",
    "SOFTMAX",
    "SPLIT",
    "SQRT",
    "SQUARE",
    "STACK",
    "SUBTRACT",
    "SUM",
    "SWAPAXES",
    "TAKE_ALONG_AXIS",
    "TANH",
    "UNSTACK",
    "WHERE",
]
