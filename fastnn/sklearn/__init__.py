"""fastnn as scikit-learn's estimators: ``MLPClassifier``, ``MLPRegressor``, ``ConvClassifier``.

They take the arguments of scikit-learn's classes of those names and mean the same by them, so that a program changes
its import only; and what their users ask for besides: dropout, batch normalization, any activation and loss, class
weights, validation data of one's own. Needs ``pip install "fastnn[sklearn]"``; ``import fastnn`` does not import it.

>>> from sklearn.datasets import load_iris
>>> from sklearn.model_selection import cross_val_score
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from fastnn.sklearn import MLPClassifier
>>> model = make_pipeline(StandardScaler(), MLPClassifier((16,), learning_rate_init=0.02, tol=1e-3, random_state=0))
>>> bool(cross_val_score(model, *load_iris(return_X_y=True)).mean() > 0.9)
True
"""

from .conv import ConvClassifier
from .mlp import MLPClassifier, MLPRegressor

__all__ = ["ConvClassifier", "MLPClassifier", "MLPRegressor"]
