"""What the two estimators share: input as scikit-learn wants it checked, training, running."""

from __future__ import annotations

import copy
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from tinygrad_cnn import kernels, nn, optim
from tinygrad_cnn.autograd import no_grad
from tinygrad_cnn.data import DataLoader, TensorDataset
from tinygrad_cnn.random import default_generator
from tinygrad_cnn.sklearn.checks import check_parameters, input_shape, sample_weights, with_channels
from tinygrad_cnn.sklearn.making import make_module, optimizer_options
from tinygrad_cnn.tensor import Tensor

__all__ = ["Array", "Network"]

Array = NDArray[Any]

# One estimator trains at a time: the default random stream and the number of threads belong to the whole process.
_LOCK = threading.RLock()


class Network(BaseEstimator):  # type: ignore[misc]
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
        check_parameters(self)
        if first:
            self.__dict__.pop("n_iter_", None)  # should anything fail from here on, the estimator is not fitted
        rows, y = self._checked(X, y, first=first)
        target = self._learn_target(y, classes, first)
        weight = sample_weights(sample_weight, len(rows))
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
        self.module_ = make_module(self._name, self.model, self.in_shape_, self.n_outputs_, self._dtype)
        kind, options = optimizer_options(self._name, self.optimizer, self.lr, self.weight_decay)
        self._optimizer = kind(self.module_.parameters(), **options)
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] = []
        self.__dict__.pop("best_validation_score_", None)  # only a fit that stops early has one

    def _train(self, rows: Array, target: Array, weight: Array, epochs: int | None) -> None:
        _, options = optimizer_options(self._name, self.optimizer, self.lr, self.weight_decay)
        for group in self._optimizer.param_groups:
            group.update(options)  # they may have been set anew since the last call
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
        wish = 64 if self.batch_size == "auto" else int(self.batch_size)
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
            self.best_validation_score_ = best

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
        self.loss_ = total / samples
        self.loss_curve_.append(self.loss_)
        self.n_iter_ = len(self.loss_curve_)
        return self.loss_

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
            return np.concatenate([module(self._inputs(rows[i : i + 256]))._array for i in range(0, len(rows), 256)])

    def _inputs(self, rows: Array) -> Tensor:
        return Tensor(rows.reshape(len(rows), *self.in_shape_))  # (N, C·H·W) -> (N, C, H, W), or rows as they are

    # ---- checking ----

    def _checked(self, X: Any, y: Any = "no_validation", *, first: bool = False) -> Any:
        """`X` as rows (N, features), checked by scikit-learn, with `y` if it is given.

        On the first call: in_shape_, n_features_in_ and feature_names_in_ are set; later ones must fit them.
        """
        X = X._array if isinstance(X, Tensor) else X if hasattr(X, "shape") else np.asarray(X)
        y = y._array if isinstance(y, Tensor) else y
        shape = tuple(X.shape[1:])
        if first and shape:  # a single axis is an error, which scikit-learn words
            self.in_shape_ = input_shape(self._name, self.model, self.image_shape, shape)
            self._dtype = self._choose_dtype(X)
        if len(shape) > 1:
            if with_channels(shape) != self.in_shape_:
                raise ValueError(f"{self._name}: X has inputs of shape {shape}, expected {self.in_shape_}")
            X = np.asarray(X).reshape(len(X), math.prod(shape))  # (N, C, H, W) -> (N, C·H·W)
        dtype = getattr(self, "_dtype", np.float64)
        return validate_data(self, X, y, reset=first, dtype=dtype, **self._y_options(y))

    def _y_options(self, y: Any) -> dict[str, Any]:
        """How scikit-learn shall check `y`."""
        return {}

    def _choose_dtype(self, X: Any) -> np.dtype[Any]:
        """float32 for images, where the fast kernels are, and for features in float32; otherwise float64."""
        if self.dtype == "auto":
            single = len(self.in_shape_) > 1 or getattr(X, "dtype", None) == np.float32
            return np.dtype(np.float32 if single else np.float64)
        return np.dtype(self.dtype)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


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
