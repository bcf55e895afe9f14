"""Layers that are one ONNX operator, and formulas of several operators for those that have none.

A formula is nested tuples: ``(operator, operand, …)``; an operand is a formula, X (the layer's input), a number, or a
text: the name of a constant. ``export`` writes the first formula of a list; ``load`` finds any of them in a file: those
behind the first are how other programs write the layer.

Source: the operators' specification, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from typing import Any

X = "x"

# Elementwise activations: class → (operator, argument of the class → attribute). The defaults in ONNX are those of the
# specification, by operator.
OPERATORS: dict[str, tuple[str, dict[str, str]]] = {
    "Identity": ("Identity", {}),
    "ReLU": ("Relu", {}),
    "LeakyReLU": ("LeakyRelu", {"negative_slope": "alpha"}),
    "ELU": ("Elu", {"alpha": "alpha"}),
    "CELU": ("Celu", {"alpha": "alpha"}),
    "Hardswish": ("HardSwish", {}),
    "Softplus": ("Softplus", {}),
    "Tanh": ("Tanh", {}),
    "Sigmoid": ("Sigmoid", {}),
    "Softsign": ("Softsign", {}),
}
DEFAULTS = {"LeakyRelu": 0.01, "Elu": 1.0, "Celu": 1.0}
FLOAT32_ALONE = ("Celu",)                       # operators that know no float64

ROOT = math.sqrt(2)
TANH = math.sqrt(2 / math.pi)
CUBED = ("Mul", ("Mul", X, X), X)


def gate(inner: Any) -> list[Any]:
    """½·x·(1 + inner) as programs write it."""
    return [
        ("Mul", ("Mul", 0.5, X), ("Add", inner, 1.0)),
        ("Mul", ("Mul", X, ("Add", inner, 1.0)), 0.5),
        ("Mul", X, ("Mul", 0.5, ("Add", inner, 1.0))),
    ]


FORMULAS: list[tuple[str, dict[str, Any], list[Any]]] = [      # class, arguments, formulas
    ("SiLU", {}, [("Mul", X, ("Sigmoid", X))]),
    ("Hardswish", {}, [("Mul", X, ("HardSigmoid", X))]),
    ("Mish", {}, [("Mul", X, ("Tanh", ("Softplus", X)))]),
    ("GELU", {}, [formula for inner in (("Div", X, ROOT), ("Mul", X, 1 / ROOT)) for formula in gate(("Erf", inner))]),
    ("GELU", {"approximate": "tanh"}, [
        formula for cube in (CUBED, ("Pow", X, 3.0), ("Mul", X, ("Mul", X, X)))
        for formula in gate(("Tanh", ("Mul", TANH, ("Add", X, ("Mul", 0.044715, cube)))))]),
    # PyTorch's exporter; a name is that of an argument, whose value the constant is.
    ("Softplus", {}, [("Where", ("Greater", X, 20.0), X, ("Softplus", X))]),
    ("Softsign", {}, [("Div", X, ("Add", ("Abs", X), 1.0))]),
    ("Softshrink", {}, [("Where", ("Greater", ("Abs", X), "lambd"), ("Sub", X, ("Mul", ("Sign", X), "lambd")),
                         ("Mul", X, 0.0))]),
    ("Hardshrink", {}, [("Where", ("LessOrEqual", ("Abs", X), "lambd"), 0.0, X)]),
]
# Root mean square; ReduceMean over the last axes, as many as the scale has.
SQUARES = [("Sqrt", ("Add", ("ReduceMean", square), "eps")) for square in (("Mul", X, X), ("Pow", X, 2.0))]
RMS = [formula for root in SQUARES for formula in (
    ("Mul", ("Div", X, root), "weight"), ("Mul", ("Mul", X, ("Reciprocal", root)), "weight"),
    ("Mul", ("Mul", X, ("Div", 1.0, root)), "weight"))]
