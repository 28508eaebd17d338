"""Forward-mode dual numbers: a value and its partial derivatives with respect to chosen inputs."""

import math
from collections.abc import Callable, Sequence


class Dual:
    """``value + sum(grad[i] * d_i)`` with the arithmetic of first-order differentiation."""

    __slots__ = ("grad", "value")

    def __init__(self, value: float, grad: Sequence[float]) -> None:
        self.value = float(value)
        self.grad = tuple(grad)

    def chain(self, value: float, slope: float) -> "Dual":
        """``f(self)`` where ``f`` has this value and this slope at ``self.value``."""
        return Dual(value, [slope * g for g in self.grad])

    def _lift(self, other: "Dual | float") -> "Dual":
        return other if isinstance(other, Dual) else Dual(other, [0.0] * len(self.grad))

    def __add__(self, other):
        other = self._lift(other)
        return Dual(self.value + other.value, [a + b for a, b in zip(self.grad, other.grad, strict=True)])

    __radd__ = __add__

    def __neg__(self):
        return self.chain(-self.value, -1.0)

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        other = self._lift(other)
        parts = zip(self.grad, other.grad, strict=True)
        return Dual(self.value * other.value, [a * other.value + b * self.value for a, b in parts])

    __rmul__ = __mul__

    def __truediv__(self, other):
        other = self._lift(other)
        quotient = self.value / other.value
        parts = zip(self.grad, other.grad, strict=True)
        return Dual(quotient, [(a - quotient * b) / other.value for a, b in parts])

    def __rtruediv__(self, other):
        return self._lift(other) / self

    def __pow__(self, exponent: float):
        # below 1 the slope at 0 is infinite; 0 is taken there, so that what has no overlap has no gradient from it
        flat = exponent == 0 or (self.value == 0 and exponent < 1)
        slope = 0.0 if flat else exponent * self.value ** (exponent - 1)
        return self.chain(self.value**exponent, slope)

    def __abs__(self):
        # the sign at 0 is 0, the middle of the subdifferential
        return self.chain(abs(self.value), (self.value > 0) - (self.value < 0))

    def __lt__(self, other):
        return self.value < freeze(other)

    def __gt__(self, other):
        return self.value > freeze(other)

    def __le__(self, other):
        return self.value <= freeze(other)

    def __ge__(self, other):
        return self.value >= freeze(other)

    def __repr__(self) -> str:
        return f"Dual({self.value!r}, {self.grad!r})"


Number = Dual | float


def freeze(x: Number) -> float:
    """The number without its derivative: what the papers write as a detached factor."""
    return x.value if isinstance(x, Dual) else float(x)


def _function(value: Callable[[float], float], slope: Callable[[float], float]) -> Callable[[Number], Number]:
    def apply(x: Number) -> Number:
        if isinstance(x, Dual):
            return x.chain(value(x.value), slope(x.value))
        return value(x)

    return apply


exp = _function(math.exp, math.exp)
log = _function(math.log, lambda x: 1 / x)
log1p = _function(math.log1p, lambda x: 1 / (1 + x))
sqrt = _function(math.sqrt, lambda x: 0.5 / math.sqrt(x))
sin = _function(math.sin, math.cos)
cos = _function(math.cos, lambda x: -math.sin(x))
asin = _function(math.asin, lambda x: 1 / math.sqrt(1 - x * x))
atan = _function(math.atan, lambda x: 1 / (1 + x * x))


def value_and_grad(function: Callable[[list[Number]], Number], point: Sequence[float]) -> tuple[float, list[float]]:
    """Value and gradient of a scalar function at a point."""
    n = len(point)
    seeds = [Dual(x, [float(i == j) for j in range(n)]) for i, x in enumerate(point)]
    result = function(seeds)
    if not isinstance(result, Dual):
        return float(result), [0.0] * n
    return result.value, list(result.grad)
