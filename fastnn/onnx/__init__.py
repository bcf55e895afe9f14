"""Models to ONNX files, which other runtimes run, and from them.

    export(model, path)     writes what the model computes at prediction
    load(path)              a Sequential that predicts what the file computes, and can be trained on

A file of ``export`` has operator set 17 and IR version 8, which onnxruntime reads since 1.12 (2022); one input ``x``
and one output ``y``, whose first axis is the batch's and of any size. Needs ``pip install "fastnn[onnx]"``.
"""

from .export import export
from .load import load

__all__ = ["export", "load"]
