"""CNNRegressor: a Module behind scikit-learn's interface for regressors."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.sklearn.network import Array, Network
from tinygrad_cnn.tensor import Tensor

__all__ = ["CNNRegressor"]


class CNNRegressor(RegressorMixin, Network):  # type: ignore[misc]
    """A regressor that trains a Module on images (N, H, W) or (N, C, H, W), or rows (N, features), by squared error.

    The targets are (N,) or (N, outputs), in float units of about 1 at best (TransformedTargetRegressor scales them).
    The parameters are those of CNNClassifier, without class_weight; early stopping looks at R². A `model` callable is
    given the shape of one input and the number of outputs. Fitted attributes as there, without classes_.

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> CNNRegressor(max_iter=300, tol=None, random_state=0).fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.9
    True
    """

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One epoch over `X` and `y`, going on from what was learnt before."""
        return self._partial_learn(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """The value of each sample, in the shape that `fit` was given: (N,) or (N, outputs)."""
        out = self._outputs(X)
        return out if self._several else out[:, 0]

    def _y_options(self, y: Any) -> dict[str, Any]:
        return {} if isinstance(y, str) else {"multi_output": True, "y_numeric": True}

    def _learn_target(self, y: Array, classes: Any, first: bool) -> Array:
        """The targets as (N, outputs)."""
        target = y.reshape(len(y), -1).astype(self._dtype)
        if first:
            self._several = y.ndim > 1
            self.n_outputs_ = target.shape[1]
        elif target.shape[1] != self.n_outputs_:
            raise ValueError(f"{self._name}: y has {target.shape[1]} outputs, expected {self.n_outputs_}")
        return target

    def _losses(self, out: Any, target: Tensor) -> Any:
        return F.mse_loss(out, target, reduction="none").mean(1)

    def _score(self, out: Array, target: Array, weight: Array) -> float:
        return float(r2_score(target, out, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
