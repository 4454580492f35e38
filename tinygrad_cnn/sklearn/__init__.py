"""scikit-learn's estimators around a Module: CNNClassifier and CNNRegressor, with `fit`, `predict` and the rest.

They learn from images (N, H, W) or (N, C, H, W), and from rows of features (N, features).
`import tinygrad_cnn` does not import scikit-learn; `from tinygrad_cnn.sklearn import CNNClassifier` does.
"""

from __future__ import annotations

from tinygrad_cnn.sklearn.classifier import CNNClassifier
from tinygrad_cnn.sklearn.regressor import CNNRegressor

__all__ = ["CNNClassifier", "CNNRegressor"]
