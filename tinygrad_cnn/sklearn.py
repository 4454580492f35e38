"""scikit-learn's estimators around a Module: CNNClassifier and CNNRegressor, with `fit`, `predict` and the rest.

They learn from images (N, H, W) or (N, C, H, W), and from rows of features (N, features).
`import tinygrad_cnn` does not import scikit-learn; `from tinygrad_cnn.sklearn import CNNClassifier` does.
"""

from __future__ import annotations

import copy
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
from threadpoolctl import threadpool_limits

from tinygrad_cnn import kernels, nn, optim
from tinygrad_cnn.autograd import no_grad
from tinygrad_cnn.data import DataLoader, TensorDataset
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.random import default_generator
from tinygrad_cnn.tensor import Tensor
from tinygrad_cnn.train.models import MODELS, build
from tinygrad_cnn.train.recipes import OPTIMIZERS

__all__ = ["CNNClassifier", "CNNRegressor"]

Array = NDArray[Any]

# One estimator trains at a time: the default random stream and the number of threads belong to the whole process.
_LOCK = threading.RLock()


class _Network(BaseEstimator):  # type: ignore[misc]
    """What the two estimators share: checking the input, building the module, training it, running it."""

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
        warm_start: bool = False,
        dtype: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.image_shape = image_shape
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # ---- what the two do differently ----

    def _learn_target(self, y: Array, classes: Any, first: bool) -> Array:
        """The targets as the loss wants them; on the first call also what the estimator remembers about them."""
        raise NotImplementedError

    def _importance(self, target: Array, weight: Array) -> Array:
        """What the weights of the samples are multiplied with."""
        return np.ones(len(target))

    def _losses(self, out: Any, target: Tensor) -> Any:
        """The loss of each sample, (N,)."""
        raise NotImplementedError

    def _score(self, out: Array, target: Array, weight: Array) -> float:
        """How good outputs are; more is better."""
        raise NotImplementedError

    # ---- learning ----

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on `X`, images (N, H, W) or (N, C, H, W) or rows (N, features), and the targets `y`.

        sample_weight: (N,), how much each sample counts; 2 counts like a sample that is there twice, 0 like none.
        With `warm_start` a second call goes on from where the first one ended.
        Errors: ValueError for input that does not fit, or when the loss is no longer finite.
        """
        first = not (self.warm_start and self.__sklearn_is_fitted__())
        return self._learn(X, y, sample_weight, first=first, epochs=self.max_iter)

    def _learn(
        self, X: Any, y: Any, sample_weight: Any, *, first: bool, epochs: int | None, classes: Any = None
    ) -> Self:
        """Train for at most `epochs` epochs; None stands for partial_fit's single one."""
        self._check_parameters()
        rows, y = self._checked(X, y, first=first)
        target = self._learn_target(y, classes, first)
        weight = _sample_weights(sample_weight, len(rows))
        weight = weight * self._importance(target, weight)
        kept = weight > 0
        if not kept.any():
            raise ValueError(f"{self._name}: all weights are zero, expected a positive one for at least one sample")
        if not kept.all():
            rows, target, weight = rows[kept], target[kept], weight[kept]
        quiet = np.errstate(over="ignore", invalid="ignore")  # the loss is looked at
        with _LOCK, self._own_stream(first), _threads(self.n_jobs), quiet:
            if first:
                self._begin()
            self._train(rows, target, weight, epochs)
        return self

    def _partial_learn(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        if self.early_stopping:
            raise ValueError(f"{self._name}: early_stopping is True, expected False with partial_fit: it is one epoch")
        first = not self.__sklearn_is_fitted__()
        return self._learn(X, y, sample_weight, first=first, epochs=None, classes=classes)

    @contextmanager
    def _own_stream(self, first: bool) -> Iterator[None]:
        """Inside, all random numbers come from this estimator's stream, which later calls go on with."""
        before = default_generator.get_state()
        self._stream: dict[str, Any]
        if first:
            default_generator.manual_seed(int(check_random_state(self.random_state).randint(2**31 - 1)))
        else:
            default_generator.set_state(self._stream)
        try:
            yield
        finally:
            self._stream = default_generator.get_state()
            default_generator.set_state(before)

    def _begin(self) -> None:
        """Forget what was learnt: a new module and a new optimizer."""
        self.__dict__.pop("n_iter_", None)  # should the training fail, the estimator counts as not fitted
        self.module_ = self._build()
        kind, options = self._optimizer_options()
        self._optimizer = kind(self.module_.parameters(), **options)
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] = []

    def _build(self) -> nn.Module:
        """A new module for the input and the outputs; tried out once, so that a wrong one is told at once."""
        if isinstance(self.model, str):
            name = self._model_name(self.in_shape_)
            shape: Any = (1, 1, *self.in_shape_) if name == "mlp" and len(self.in_shape_) == 1 else self.in_shape_
            module = build(name, shape, self.n_outputs_)
        else:
            module = self.model(self.in_shape_, self.n_outputs_)
        if not isinstance(module, nn.Module):
            raise TypeError(f"{self._name}: model made a {type(module).__name__}, expected a Module")
        module.to(self._dtype)
        with no_grad():
            out = module.eval()(self._inputs(np.zeros((2, self.n_features_in_), self._dtype)))
        if not isinstance(out, Tensor) or out.shape != (2, self.n_outputs_):
            found = out.shape if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"{self._name}: model gives {found} for 2 samples, expected {(2, self.n_outputs_)}")
        return module

    def _optimizer_options(self) -> tuple[Callable[..., optim.Optimizer], dict[str, Any]]:
        """What makes the optimizer, and the arguments for it."""
        if isinstance(self.optimizer, str):
            if self.optimizer not in OPTIMIZERS:
                raise ValueError(
                    f"{self._name}: optimizer is {self.optimizer!r}, expected a callable or one of {list(OPTIMIZERS)}"
                )
            kind, options, lr = OPTIMIZERS[self.optimizer]
            options = {**options, "lr": lr}
        else:
            kind, options = self.optimizer, {}
        given = {"lr": self.lr, "weight_decay": self.weight_decay}
        return kind, options | {name: value for name, value in given.items() if value is not None}

    def _train(self, rows: Array, target: Array, weight: Array, epochs: int | None) -> None:
        for group in self._optimizer.param_groups:  # they may have been set anew since the last call
            group.update(self._optimizer_options()[1])
        held_out = None
        if self.early_stopping:
            train, test = self._split(target)
            held_out = rows[test], target[test], weight[test]
            rows, target, weight = rows[train], target[train], weight[train]
        loader = self._loader(rows, target, weight)
        if epochs is None:
            self._train_epoch(loader)
        else:
            self._train_epochs(loader, held_out, epochs)
        self._optimizer.zero_grad()
        self.module_.eval()

    def _split(self, target: Array) -> tuple[Array, Array]:
        """The numbers of the samples to learn from, and of those held out for early stopping."""
        parts: tuple[Array, Array] = train_test_split(
            np.arange(len(target)),
            test_size=self.validation_fraction,
            stratify=target if target.ndim == 1 else None,
            random_state=int(default_generator.numpy.integers(2**31)),
        )
        if len(parts[1]) < 2:
            raise ValueError(
                f"{self._name}: early stopping holds out {len(parts[1])} of {len(target)} samples, expected at least "
                "2: give more samples or a greater validation_fraction"
            )
        return parts

    def _loader(self, rows: Array, target: Array, weight: Array) -> DataLoader:
        wish = 200 if self.batch_size == "auto" else int(self.batch_size)
        size = min(wish, len(rows))
        norms = (nn.BatchNorm1d, nn.BatchNorm2d)
        normalised = any(isinstance(module, norms) for module in self.module_.modules())
        return DataLoader(
            # with a mean weight of 1 neither the scale of the weights nor the size of a batch changes a step
            TensorDataset(self._inputs(rows), target, (weight / weight.mean()).astype(self._dtype)),
            size,
            shuffle=True,
            drop_last=normalised and len(rows) % size == 1 and size > 1,  # a batch of one has no variance
        )

    def _train_epochs(self, loader: DataLoader, held_out: tuple[Array, ...] | None, epochs: int) -> None:
        """Train until the loss, or the score of what is held out, no longer gets better; then keep the best."""
        from tqdm import tqdm

        best, waited, best_state = -math.inf, 0, None
        for _ in (progress := tqdm(range(epochs), desc=self._name, unit="epoch", disable=not self.verbose)):
            value = -self._train_epoch(loader)
            progress.set_postfix(loss=f"{-value:.4f}")
            if held_out is not None:
                rows, target, weight = held_out
                value = self._score(self._run(rows), target, weight)
                self.validation_scores_.append(value)
                if value > best:
                    best_state = copy.deepcopy(self.module_.state_dict())
            waited = 0 if self.tol is None or value >= best + self.tol else waited + 1
            best = max(best, value)
            if waited >= self.n_iter_no_change:
                break
        else:
            if self.tol is not None:
                warnings.warn(
                    f"{self._name}: it was still learning after max_iter = {epochs} epochs; raise max_iter, "
                    "or set tol=None to train for just that long",
                    ConvergenceWarning,
                    stacklevel=5,
                )
        if best_state is not None:
            self.module_.load_state_dict(best_state)

    def _train_epoch(self, loader: DataLoader) -> float:
        """One pass over the data; returns the mean loss of the samples."""
        total = samples = 0.0
        self.module_.train()
        for x, target, weight in loader:
            loss = (self._losses(self.module_(x), target) * weight).mean()
            value = loss.item()
            if not math.isfinite(value):
                raise ValueError(
                    f"{self._name}: the loss became {value} in epoch {len(self.loss_curve_) + 1}; "
                    "scale the input (StandardScaler, say) or lower lr"
                )
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total += value * len(x)
            samples += len(x)
        self.loss_curve_.append(total / samples)
        self.n_iter_ = len(self.loss_curve_)
        return self.loss_curve_[-1]

    # ---- running ----

    def _outputs(self, X: Any) -> Array:
        """What the module gives for `X`: (N, n_outputs_)."""
        check_is_fitted(self)
        rows = self._checked(X)
        if self.n_jobs is None:
            return self._run(rows)
        with _LOCK, _threads(self.n_jobs):
            return self._run(rows)

    def _run(self, rows: Array) -> Array:
        module = self.module_.eval()
        with no_grad():
            return np.concatenate([module(self._inputs(rows[i : i + 256])).array for i in range(0, len(rows), 256)])

    def _inputs(self, rows: Array) -> Tensor:
        return Tensor(rows.reshape(len(rows), *self.in_shape_))  # (N, C·H·W) -> (N, C, H, W), or rows as they are

    # ---- checking ----

    def _checked(self, X: Any, y: Any = "no_validation", *, first: bool = False) -> Any:
        """`X` as rows (N, features), checked by scikit-learn, with `y` if it is given.

        On the first call: in_shape_, n_features_in_ and feature_names_in_ are set; later ones must fit them.
        """
        X = X.array if isinstance(X, Tensor) else X if hasattr(X, "shape") else np.asarray(X)
        y = y.array if isinstance(y, Tensor) else y
        shape = tuple(X.shape[1:])
        if first and shape:  # a single axis is an error, which scikit-learn words
            self.in_shape_ = self._in_shape(shape)
            self._dtype = self._choose_dtype(X)
        if len(shape) > 1:
            if _with_channels(shape) != self.in_shape_:
                raise ValueError(f"{self._name}: X has inputs of shape {shape}, expected {self.in_shape_}")
            X = np.asarray(X).reshape(len(X), math.prod(shape))  # (N, C, H, W) -> (N, C·H·W)
        dtype = getattr(self, "_dtype", np.float64)
        return validate_data(self, X, y, reset=first, dtype=dtype, **self._y_options(y))

    def _y_options(self, y: Any) -> dict[str, Any]:
        """How scikit-learn shall check `y`."""
        return {}

    def _in_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one input of the module, given that of one entry of X: (C, H, W), or (features,)."""
        if self.image_shape is not None:
            wanted = _with_channels(tuple(self.image_shape))
            if math.prod(wanted) != math.prod(shape):
                raise ValueError(
                    f"{self._name}: image_shape is {self.image_shape}, {math.prod(wanted)} numbers, "
                    f"but X has inputs of shape {shape}"
                )
            return wanted
        if len(shape) > 1 or not isinstance(self.model, str) or self.model == "mlp" or self.model not in MODELS:
            return _with_channels(shape)
        side = math.isqrt(shape[0])
        if side * side != shape[0]:
            raise ValueError(
                f"{self._name}: model {self.model} needs images, X has rows of {shape[0]} features, which are no "
                "square image; say which image they are with image_shape=(C, H, W)"
            )
        return (1, side, side)

    def _model_name(self, in_shape: tuple[int, ...]) -> str:
        """The name of the model, with "auto" decided."""
        if self.model != "auto":
            return str(self.model)
        if len(in_shape) == 1:
            return "mlp"
        if len(in_shape) != 3 or min(in_shape[1:]) < 4:
            raise ValueError(
                f"{self._name}: X has inputs of shape {in_shape}, expected images (C, H, W), channels first, of at "
                "least 4x4; choose another model than 'auto' for these"
            )
        return "lenet"

    def _choose_dtype(self, X: Any) -> np.dtype[Any]:
        """float32 for images, where the fast kernels are, and for features in float32; otherwise float64."""
        if self.dtype == "auto":
            single = len(self.in_shape_) > 1 or getattr(X, "dtype", None) == np.float32
            return np.dtype(np.float32 if single else np.float64)
        return np.dtype(self.dtype)

    def _check_parameters(self) -> None:
        rules = {
            "model": (_is_model(self.model), "a name, or a function or class that makes a Module"),
            "batch_size": (self.batch_size == "auto" or _is_count(self.batch_size), "'auto' or an integer >= 1"),
            "max_iter": (_is_count(self.max_iter), "an integer >= 1"),
            "tol": (self.tol is None or _is_number(self.tol, 0), "None or a number >= 0"),
            "n_iter_no_change": (_is_number(self.n_iter_no_change, 1), "a number >= 1"),
            "validation_fraction": (
                _is_number(self.validation_fraction, 0) and 0 < self.validation_fraction < 1,
                "a number between 0 and 1",
            ),
            "dtype": (self.dtype in ("auto", "float32", "float64"), "'auto', 'float32' or 'float64'"),
        }
        for name, (good, expected) in rules.items():
            if not good:
                raise ValueError(f"{self._name}: {name} is {getattr(self, name)!r}, expected {expected}")

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class CNNClassifier(ClassifierMixin, _Network):  # type: ignore[misc]
    """A classifier that trains a Module on images (N, H, W) or (N, C, H, W), or rows (N, features), with any labels.

    model: "auto" (LeNet for images, one hidden layer for rows), a name that `tinygrad_cnn.train.build` knows, or
        a callable that makes a Module, given the shape of one input, (C, H, W) or (features,), and the number of
        classes. The module turns a batch into scores (N, classes), without softmax.
    image_shape: (C, H, W) or (H, W), which image a row of features is; a Pipeline hands on rows.
    optimizer: "adam", "adamw", "sgd", "momentum", "rmsprop", "adagrad", "adadelta", or a callable
        (parameters, lr=…, weight_decay=…). lr, weight_decay: None leaves the optimizer's usual ones.
    batch_size: "auto" is 200, or all samples if there are fewer.
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
    loss_curve_ (mean loss of each epoch), validation_scores_ (with early_stopping).

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
        return F.softmax(Tensor(self._outputs(X)), dim=1).array

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of the probabilities: (N, classes)."""
        return F.log_softmax(Tensor(self._outputs(X)), dim=1).array

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
            present = np.count_nonzero(totals)
            balanced: Array = totals.sum() / (present * np.where(totals > 0, totals, 1.0))
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


class CNNRegressor(RegressorMixin, _Network):  # type: ignore[misc]
    """A regressor that trains a Module on images (N, H, W) or (N, C, H, W), or rows (N, features), by squared error.

    The targets are (N,) or (N, outputs), in float units of about 1 at best (TransformedTargetRegressor scales them).
    The parameters are those of CNNClassifier, without class_weight; early stopping looks at R². A `model` callable is
    given the shape of one input and the number of outputs. Fitted attributes as there, without classes_.

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


def _sample_weights(sample_weight: Any, n: int) -> Array:
    """The weights as floats (N,), checked; ones where there are none."""
    if sample_weight is None:
        return np.ones(n)
    weight: Array = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.shape != (n,):
        raise ValueError(f"sample_weight has the shape {weight.shape}, expected {(n,)}, one number a sample")
    if (weight < 0).any():
        raise ValueError(f"sample_weight holds {weight.min():g}, expected no negative weights")
    return weight


@contextmanager
def _threads(n_jobs: int | None) -> Iterator[None]:
    """Inside, `n_jobs` threads compute, those of BLAS included; None changes nothing."""
    if n_jobs is None:
        yield
        return
    before = kernels.get_num_threads()
    wanted = effective_n_jobs(n_jobs)
    kernels.set_num_threads(wanted)
    try:
        with threadpool_limits(wanted, user_api="blas"):
            yield
    finally:
        kernels.set_num_threads(before)


def _with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(H, W) -> (1, H, W); other shapes stay."""
    return (1, *shape) if len(shape) == 2 else shape


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and _is_number(value, 1)


def _is_number(value: Any, least: float) -> bool:
    return type(value) is not bool and isinstance(value, Real) and float(value) >= least


def _is_model(value: Any) -> bool:
    return isinstance(value, str) or (callable(value) and not isinstance(value, nn.Module))
