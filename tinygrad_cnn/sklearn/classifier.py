"""CNNClassifier: a Module behind scikit-learn's interface for classifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from tinygrad_cnn import nn, optim
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.sklearn.network import Array, Network
from tinygrad_cnn.tensor import Tensor

__all__ = ["CNNClassifier"]


class CNNClassifier(ClassifierMixin, Network):  # type: ignore[misc]
    """A classifier that trains a Module on images (N, H, W) or (N, C, H, W), or rows (N, features), with any labels.

    model: "auto" (two convolutions and two linear layers for images, one hidden layer for rows), a name that
        `tinygrad_cnn.train.build` knows, or a callable that makes a Module, given the shape of one input, (C, H, W)
        or (features,), and the number of classes. The module gives scores (N, classes), without softmax.
    image_shape: (C, H, W) or (H, W), which image a row of features is; a Pipeline hands on rows.
    optimizer: "adam", "adamw", "sgd", "momentum", "rmsprop", "adagrad", "adadelta", or a callable
        (parameters, lr=…, weight_decay=…). lr, weight_decay: None leaves the optimizer's usual ones.
    batch_size: "auto" is 64; where there are fewer samples, a batch is all of them.
    max_iter, tol, n_iter_no_change: train for at most max_iter epochs, and stop once the training loss has not fallen
        by tol for n_iter_no_change of them. tol=None: train for exactly max_iter epochs.
    early_stopping: hold out the part validation_fraction of the samples, stop once the accuracy on them has not risen
        by tol for n_iter_no_change epochs, and keep the best weights.
    class_weight: None, "balanced", or a dict {label: weight}, in which missing labels have the weight 1.
    warm_start: a second call of `fit` goes on from the first: weights, optimizer and random stream.
    dtype: "float32", "float64", or "auto": float32 for images and float32 features, otherwise float64.
    n_jobs: threads to compute with, -1 for all processors; None leaves the number as it is.
    random_state: an int makes each `fit` the same, bit by bit; a RandomState is drawn from, and None
        stands for NumPy's global one.
    verbose: show a progress bar.

    Fitted: module_, classes_, n_features_in_, feature_names_in_, n_outputs_, in_shape_, n_iter_ (epochs in all),
    loss_curve_ (mean loss of each epoch), loss_ (of the last); with early_stopping validation_scores_ and
    best_validation_score_.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> CNNClassifier(max_iter=60, tol=None, random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        model: str | Callable[..., nn.Module] = "auto",
        *,
        image_shape: tuple[int, ...] | None = None,
        optimizer: str | Callable[..., optim.Optimizer] = "adam",
        lr: float | None = None,
        weight_decay: float | None = None,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        tol: float | None = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        class_weight: dict[Any, float] | str | None = None,
        warm_start: bool = False,
        dtype: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model,
            image_shape=image_shape,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            batch_size=batch_size,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            dtype=dtype,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """One epoch over `X` and `y`, going on from what was learnt before.

        classes: all labels that will ever come; needed in the first call.
        """
        if classes is None and not self.__sklearn_is_fitted__():
            raise ValueError("partial_fit: classes is None, expected all labels in the first call")
        if isinstance(self.class_weight, str):
            raise ValueError(f"partial_fit: class_weight is {self.class_weight!r}, expected None or a dict")
        return self._partial_learn(X, y, sample_weight, classes)

    def predict(self, X: Any) -> Array:
        """The most probable label of each sample: (N,)."""
        best = self._outputs(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """The probability of each of `classes_` for each sample: (N, classes)."""
        return F.softmax(Tensor(self._outputs(X)), dim=1)._array

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of the probabilities: (N, classes)."""
        return F.log_softmax(Tensor(self._outputs(X)), dim=1)._array

    def _learn_target(self, y: Array, classes: Any, first: bool) -> Array:
        """The position of each label in `classes_`."""
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        known = np.unique(labels if classes is None else np.asarray(classes))
        if first:
            self.classes_ = known
            self.n_outputs_ = len(known)
        elif classes is not None and not np.array_equal(known, self.classes_):
            raise ValueError(f"partial_fit: classes are {known}, expected {self.classes_} as in the first call")
        if new := set(np.unique(labels).tolist()) - set(self.classes_.tolist()):
            raise ValueError(f"{self._name}: y has the labels {sorted(new)}, expected only {self.classes_}")
        positions: Array = np.searchsorted(self.classes_, labels)
        return positions

    def _importance(self, target: Array, weight: Array) -> Array:
        """The weight of each sample's class. Not scikit-learn's function: it misses labels like "3" in a dict."""
        if self.class_weight is None:
            return super()._importance(target, weight)
        if self.class_weight == "balanced":
            totals = np.bincount(target, weight, minlength=self.n_outputs_)
            balanced: Array = 1 / np.where(totals > 0, totals, 1.0)  # only the proportions count
            return balanced[target]
        if not isinstance(self.class_weight, dict):
            raise ValueError(
                f"{self._name}: class_weight is {self.class_weight!r}, expected None, 'balanced' or a dict"
            )
        labels = self.classes_.tolist()
        if unknown := [label for label in self.class_weight if label not in labels]:
            raise ValueError(f"{self._name}: class_weight has the labels {unknown}, expected only {labels}")
        weights: Array = np.array([self.class_weight.get(label, 1.0) for label in labels], np.float64)
        if not (weights >= 0).all():
            raise ValueError(f"{self._name}: class_weight is {self.class_weight!r}, expected no negative weights")
        return weights[target]

    def _losses(self, out: Any, target: Tensor) -> Any:
        return F.cross_entropy(out, target, reduction="none")

    def _score(self, out: Array, target: Array, weight: Array) -> float:
        return float(accuracy_score(target, out.argmax(axis=1), sample_weight=weight))
