"""Sixteen public programs (one of them has two parts), whole, in fastnn's words and in a peer's, on the same task.

    python -m bench.programs                            # small data, a few minutes; a table
    python -m bench.programs --full --out FILE          # the originals' epochs and all of MNIST; keeps the figures
    python -m bench.programs --table FILE               # prints a kept result

``ours.py`` and ``examples/`` have fastnn's side, ``torch.py`` PyTorch's, and ``keras.py`` Keras's of the programs that
came from there, where it is installed. scikit-learn's own programs are one function for both, as fastnn has its
estimators. Lines are those of code, without docstrings, of all functions and classes that a program calls and that
stand here or in ``examples/``, without reading the data.
"""
