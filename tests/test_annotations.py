"""What a user writes, with annotations, passes a strict type checker."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """
    from typing import Any

    import numpy as np
    import numpy.typing as npt
    import PACKAGE as nn

    Array = npt.NDArray[Any]

    class Scale(nn.CustomLayer):
        def __init__(self, size: int) -> None:
            self.size = size
            self.add("weight", (size,), "ones")

        def forward_pass(self, x: Array, training: bool) -> Array:
            self.saved = x
            return x * self.values["weight"]

        def backward_pass(self, dy: Array) -> Array:
            self.set_gradients((dy * self.saved).sum(axis=0))
            return dy * self.values["weight"]

    class Momentum(nn.CustomOptimizer):
        slots = ("velocity",)

        def update(self, w: Array, g: Array, lr: float, decay: float, velocity: Array) -> None:
            velocity[...] = 0.9 * velocity + g + decay * w
            w -= lr * velocity

        def step_size(self, lr: float, velocity: Array) -> float:
            return lr / 0.1

    class Plain(nn.CustomOptimizer):
        def update(self, w: Array, g: Array, lr: float, decay: float) -> None:
            w -= lr * g

    class AnySlots(nn.CustomOptimizer):
        def update(self, w: Array, g: Array, lr: float, decay: float, **slots: Array) -> None:
            w -= lr * g

    model = nn.Sequential(nn.Linear(2, 3), Scale(3), nn.Residual(nn.Linear(3, 3)))
    model.step(np.ones((4, 2)), np.zeros((4, 3)), nn.MSELoss(), Momentum())
    weight: Array = model.layers[0].weight
    size: int = model.layers[1].size
    inner: Array = model.layers[2].block.weight
    for layer in model:
        print(layer.values["weight"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", ["fastnn", "fastnn_ref"])
def test_a_users_own_classes(package, tmp_path):
    """A method may name its slots; what a place of a model holds has the attributes of its class."""
    pytest.importorskip("mypy", reason="mypy is missing: annotations are NOT checked")
    path = tmp_path / "own.py"
    path.write_text(textwrap.dedent(PROGRAM).replace("PACKAGE", package), encoding="utf-8")
    found = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=",
                            f"--cache-dir={tmp_path / 'cache'}", str(path)], capture_output=True, text=True,
                           check=False, timeout=600, env=os.environ | {"MYPYPATH": str(ROOT)})
    assert found.returncode == 0, found.stdout + found.stderr
