"""CNNClassifier and CNNRegressor: scikit-learn's own checks, and what they promise beyond those."""

from __future__ import annotations

import functools
import pickle
import threading
import time
import warnings
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import tinygrad_cnn as tg
from tinygrad_cnn import nn, optim
from tinygrad_cnn.sklearn import CNNClassifier, CNNRegressor


@parametrize_with_checks([CNNClassifier(), CNNRegressor()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # MLPClassifier warns there too
def test_scikit_learns_checks(estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it, one check skips itself
    check(estimator)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """300 pictures of digits, (300, 8, 8), from 0 to 1, and their numbers."""
    data = load_digits()
    return (data.images[:300] / 16).astype(np.float32), data.target[:300]


def short(kind: Any = CNNClassifier, **parameters: Any) -> Any:
    """An estimator that trains for three epochs, the same each time."""
    return kind(**{"max_iter": 3, "tol": None, "random_state": 0, **parameters})


def weights(estimator: Any) -> np.ndarray:
    return np.concatenate([p.array.ravel() for p in estimator.module_.parameters()])


# ---- what goes in ----


def test_it_learns_to_read_digits() -> None:
    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(images.reshape(-1, 8, 8), labels, random_state=0)
    classifier = CNNClassifier(max_iter=12, tol=None, random_state=0).fit(train, train_labels)
    assert classifier.score(test, test_labels) > 0.95
    assert classifier.predict_proba(test).shape == (len(test), 10)


def test_pictures_come_in_four_shapes(digits: Any) -> None:
    images, labels = digits
    expected = short().fit(images, labels).predict_proba(images)
    for X in (images[:, None], images.tolist(), tg.tensor(images)):
        np.testing.assert_array_equal(short().fit(X, labels).predict_proba(X), expected)
    rows = images.reshape(300, 64)
    classifier = short(image_shape=(8, 8)).fit(rows, labels)
    np.testing.assert_array_equal(classifier.predict_proba(rows), expected)
    np.testing.assert_array_equal(classifier.predict_proba(images[:, None]), expected)
    assert classifier.in_shape_ == (1, 8, 8)
    assert classifier.n_features_in_ == 64


def test_rows_become_square_pictures_for_a_model_that_needs_some(digits: Any) -> None:
    images, labels = digits
    from_rows = short(model="lenet").fit(images.reshape(300, 64), labels)
    np.testing.assert_array_equal(weights(from_rows), weights(short(model="lenet").fit(images, labels)))
    with pytest.raises(ValueError, match=r"model lenet needs images, X has rows of 63 features, which are no square"):
        short(model="lenet").fit(images.reshape(300, 64)[:, 1:], labels)


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"], [False, True], [-7, 12], [0.0, 1.0], np.array(["no", "yes"], object)],
    ids=["text", "bool", "negative", "float", "object"],
)
def test_labels_may_be_anything(labels: Any) -> None:
    X = np.linspace(-1, 1, 40)[:, None]
    y = np.array(labels)[(X[:, 0] > 0).astype(int)]
    classifier = CNNClassifier(max_iter=60, tol=None, lr=0.02, random_state=0).fit(X, y)
    assert list(classifier.classes_) == list(labels)
    assert classifier.predict(X).dtype == y.dtype
    np.testing.assert_array_equal(classifier.predict(X), y)


def test_the_dtype_follows_the_data_or_the_parameter(digits: Any) -> None:
    images, labels = digits
    rows = images.reshape(300, 64)
    for X, dtype, expected in [
        (images.astype(np.float64), "auto", np.float32),
        (rows, "auto", np.float32),
        (rows.astype(np.float64), "auto", np.float64),
        (images, "float64", np.float64),
        (rows.astype(np.float64), "float32", np.float32),
    ]:
        classifier = short(dtype=dtype).fit(X, labels)
        assert weights(classifier).dtype == expected
        assert classifier.predict_proba(X).dtype == expected


def test_names_of_features() -> None:
    frame, y = load_iris(return_X_y=True, as_frame=True)
    classifier = short().fit(frame, y)
    assert list(classifier.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(frame.rename(columns={"petal width (cm)": "width"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        classifier.predict(frame.to_numpy())
    assert isinstance(frame, pd.DataFrame)


def test_a_regressor_reads_pictures_and_gives_one_value_or_several(digits: Any) -> None:
    images, labels = digits
    ink = StandardScaler().fit_transform(images.sum(axis=(1, 2))[:, None])[:, 0]
    regressor = CNNRegressor(max_iter=40, tol=None, random_state=0).fit(images, ink)
    assert regressor.score(images, ink) > 0.9
    assert regressor.predict(images).shape == (300,)
    both = short(CNNRegressor).fit(images, np.stack([ink, labels / 10], axis=1))
    assert both.predict(images).shape == (300, 2)
    assert both.n_outputs_ == 2


def test_a_regressor_is_as_good_as_is_usual() -> None:
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    regressor = make_pipeline(StandardScaler(), CNNRegressor(early_stopping=True, random_state=0))
    assert cross_val_score(regressor, X, y, cv=3).mean() > 0.35  # linear regression: 0.48


# ---- random numbers ----


def test_an_int_makes_every_fit_the_same_and_leaves_the_default_stream_alone(digits: Any) -> None:
    tg.manual_seed(5)
    expected = tg.rand(3).tolist()
    tg.manual_seed(5)
    first = short(model="mnist").fit(*digits)  # it has dropout
    assert tg.rand(3).tolist() == expected
    np.testing.assert_array_equal(weights(first), weights(short(model="mnist").fit(*digits)))
    np.testing.assert_array_equal(weights(first), weights(first.fit(*digits)))
    assert (weights(first) != weights(short(model="mnist", random_state=1).fit(*digits))).any()


def test_a_random_state_is_drawn_from_and_none_is_numpys(digits: Any) -> None:
    stream = np.random.RandomState(3)
    a, b = (weights(short(random_state=stream).fit(*digits)) for _ in range(2))
    again = np.random.RandomState(3)
    np.testing.assert_array_equal(a, weights(short(random_state=again).fit(*digits)))
    np.testing.assert_array_equal(b, weights(short(random_state=again).fit(*digits)))
    assert (a != b).any()
    np.random.seed(3)
    np.testing.assert_array_equal(a, weights(short(random_state=None).fit(*digits)))


def test_threads_that_fit_at_once_do_not_disturb_each_other(digits: Any) -> None:
    def model(in_shape: Any, classes: int) -> nn.Module:
        time.sleep(0.05)  # now another thread would restart the stream, if it could
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

    together: dict[int, Any] = {}

    def work(seed: int) -> None:
        together[seed] = weights(short(model=model, random_state=seed, n_jobs=1).fit(*digits))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(3):
        alone = short(model=model, random_state=seed, n_jobs=1).fit(*digits)
        np.testing.assert_array_equal(together[seed], weights(alone))


def test_n_jobs_is_the_number_of_threads_while_it_works(digits: Any) -> None:
    seen = []

    def model(in_shape: Any, classes: int) -> nn.Module:
        seen.append(tg.kernels.get_num_threads())
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

    before = tg.kernels.get_num_threads()
    for n_jobs, expected in [(1, 1), (3, 3), (-1, joblib.cpu_count()), (None, before)]:
        short(model=model, n_jobs=n_jobs).fit(*digits).predict(digits[0])
        assert seen.pop() == expected
        assert tg.kernels.get_num_threads() == before


# ---- going on ----


def test_a_warm_start_goes_on_exactly(digits: Any) -> None:
    warm = short(warm_start=True, max_iter=2).fit(*digits).fit(*digits)
    whole = short(max_iter=4).fit(*digits)
    np.testing.assert_array_equal(weights(warm), weights(whole))
    assert warm.loss_curve_ == whole.loss_curve_
    assert warm.n_iter_ == 4
    with pytest.raises(ValueError, match=r"CNNClassifier: y has the labels \[10\], expected only \[0 1 2"):
        warm.fit(digits[0], np.where(digits[1] == 3, 10, digits[1]))


def test_partial_fit_is_one_epoch_and_survives_pickling(digits: Any) -> None:
    images, labels = digits
    straight, pickled = short(), short()
    for _ in range(3):
        straight.partial_fit(images, labels, classes=np.arange(10))
        pickled = pickle.loads(pickle.dumps(pickled.partial_fit(images, labels, classes=np.arange(10))))
    np.testing.assert_array_equal(weights(straight), weights(pickled))
    np.testing.assert_array_equal(weights(straight), weights(short().fit(images, labels)))
    assert straight.n_iter_ == len(straight.loss_curve_) == 3


def test_partial_fit_knows_labels_that_come_later(digits: Any) -> None:
    images, labels = digits
    with pytest.raises(ValueError, match="partial_fit: classes is None, expected all labels in the first call"):
        short().partial_fit(images, labels)
    classifier = short().partial_fit(images[labels < 5], labels[labels < 5], classes=range(10))
    classifier.partial_fit(images, labels)
    assert list(classifier.classes_) == list(range(10))
    with pytest.raises(ValueError, match=r"partial_fit: classes are \[0 1\], expected \[0 1 2"):
        classifier.partial_fit(images[labels < 2], labels[labels < 2], classes=[0, 1])


def test_partial_fit_of_a_regressor_keeps_to_its_outputs(digits: Any) -> None:
    images, labels = digits
    regressor = short(CNNRegressor).partial_fit(images, labels).partial_fit(images, labels)
    assert regressor.n_iter_ == 2
    with pytest.raises(ValueError, match="CNNRegressor: y has 2 outputs, expected 1"):
        regressor.partial_fit(images, np.stack([labels, labels], axis=1))


def test_a_new_learning_rate_holds_from_the_next_call_on(digits: Any) -> None:
    images, labels = digits
    classifier = short().partial_fit(images, labels, classes=np.arange(10))
    before = weights(classifier).copy()
    classifier.set_params(lr=0.0).partial_fit(images, labels)
    np.testing.assert_array_equal(weights(classifier), before)


# ---- when to stop ----


def test_it_stops_when_the_loss_no_longer_falls() -> None:
    X, y = load_iris(return_X_y=True)
    classifier = CNNClassifier(tol=0.1, n_iter_no_change=3, max_iter=500, random_state=0).fit(X, y)
    losses = classifier.loss_curve_
    assert classifier.n_iter_ == len(losses) < 500
    waited, best = 0, np.inf
    for loss in losses:
        assert waited < 3
        waited = 0 if loss <= best - 0.1 else waited + 1
        best = min(best, loss)
    assert waited == 3


def test_it_says_when_it_was_still_learning_unless_tol_is_none(digits: Any) -> None:
    with pytest.warns(ConvergenceWarning, match="still learning after max_iter = 2 epochs; raise max_iter") as caught:
        CNNClassifier(max_iter=2).fit(*digits)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert short(max_iter=2).fit(*digits).n_iter_ == 2


@pytest.mark.parametrize("kind", [CNNClassifier, CNNRegressor])
def test_early_stopping_keeps_the_best_weights(kind: Any, digits: Any) -> None:
    images, labels = digits
    estimator = kind(early_stopping=True, n_iter_no_change=3, max_iter=300, lr=0.01, random_state=0)
    estimator.fit(images, labels / (1 if kind is CNNClassifier else 10))
    scores = estimator.validation_scores_
    assert estimator.best_validation_score_ == max(scores)
    assert estimator.loss_ == estimator.loss_curve_[-1]
    assert estimator.n_iter_ == len(scores) < 300
    best = int(np.argmax(scores))
    assert best < len(scores) - 1
    shorter = clone(estimator).set_params(max_iter=best + 1, tol=None)
    shorter.fit(images, labels / (1 if kind is CNNClassifier else 10))
    np.testing.assert_array_equal(weights(estimator), weights(shorter))


def test_a_fit_without_early_stopping_keeps_no_score_of_an_earlier_one(digits: Any) -> None:
    images, labels = digits
    classifier = CNNClassifier(max_iter=1, tol=None, early_stopping=True, random_state=0).fit(images, labels)
    assert classifier.best_validation_score_ == max(classifier.validation_scores_)
    classifier.set_params(early_stopping=False).fit(images, labels)
    assert not hasattr(classifier, "best_validation_score_")
    assert classifier.validation_scores_ == []


def test_early_stopping_holds_out_a_share_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = []

    def score(target: Any, predicted: Any, sample_weight: Any) -> float:
        held_out.append((np.bincount(target).tolist(), sample_weight.tolist()))
        return float(accuracy_score(target, predicted))

    monkeypatch.setattr("tinygrad_cnn.sklearn.classifier.accuracy_score", score)
    y = np.repeat([0, 1], [80, 20])
    X = np.random.default_rng(0).random((100, 3))
    short(early_stopping=True, validation_fraction=0.2).fit(X, y, sample_weight=1 + y)
    assert [(counts, sorted(weight)) for counts, weight in held_out] == [([16, 4], [1.0] * 16 + [2.0] * 4)] * 3


def test_early_stopping_needs_something_to_hold_out(digits: Any) -> None:
    images, labels = digits
    with pytest.raises(ValueError, match="early stopping holds out 1 of 10 samples, expected at least 2"):
        short(CNNRegressor, early_stopping=True).fit(images[:10], labels[:10])
    with pytest.raises(ValueError, match="early_stopping is True, expected False with partial_fit"):
        short(early_stopping=True).partial_fit(images, labels, classes=np.arange(10))


# ---- weights ----


def test_only_the_proportions_of_the_weights_count(digits: Any) -> None:
    images, labels = digits
    plain = short(dtype="float64").fit(images, labels)
    scaled = short(dtype="float64").fit(images, labels, sample_weight=np.full(300, 8.0))
    np.testing.assert_array_equal(weights(plain), weights(scaled))


def test_a_weight_is_a_repetition_and_zero_an_absence(digits: Any) -> None:
    images, labels = digits
    counts = np.arange(300) % 3
    whole = functools.partial(short, dtype="float64", batch_size=10_000, class_weight="balanced")
    weighted = whole().fit(images, labels, sample_weight=counts)
    repeated = whole().fit(images.repeat(counts, axis=0), labels.repeat(counts))
    np.testing.assert_allclose(weights(weighted), weights(repeated), atol=1e-9)


def test_a_weight_of_zero_is_an_absence_in_batches_too(digits: Any) -> None:
    images, labels = digits
    kept = np.arange(300) % 3 > 0
    weighted = short(batch_size=17).fit(images, labels, sample_weight=kept)
    np.testing.assert_array_equal(weights(weighted), weights(short(batch_size=17).fit(images[kept], labels[kept])))


def test_balanced_classes_weigh_the_same_in_all() -> None:
    X, y = load_iris(return_X_y=True)
    X, y = X[:70], np.array(["1", "2", "3"])[y[:70]]  # 50 and 20; text that looks like numbers
    balanced = short(class_weight="balanced").fit(X, y)
    by_hand = short(class_weight={"1": 70 / (2 * 50), "2": 70 / (2 * 20)}).fit(X, y)
    by_sample = short().fit(X, y, sample_weight=np.where(y == "1", 0.7, 1.75))
    np.testing.assert_allclose(weights(balanced), weights(by_hand), atol=1e-12)
    np.testing.assert_allclose(weights(balanced), weights(by_sample), atol=1e-12)
    assert (weights(balanced) != weights(short().fit(X, y))).any()


# ---- models and optimizers ----


class Small(nn.Module):
    """A net of the user's own, with a batch norm and a layer that finds its size itself."""

    def __init__(self, in_shape: Any, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_shape[0], 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.LazyLinear(num_classes)

    def forward(self, x: Any) -> Any:
        return self.fc(self.norm(self.conv(x)).relu().flatten(1))


def test_a_class_of_ones_own_serves_as_the_model(digits: Any) -> None:
    images, labels = digits
    classifier = short(model=Small, max_iter=10).fit(images, labels)
    assert type(classifier.module_) is Small
    assert not classifier.module_.training
    assert classifier.score(images, labels) > 0.9
    np.testing.assert_array_equal(
        classifier.predict_proba(images), clone(classifier).fit(images, labels).predict_proba(images)
    )
    assert pickle.loads(pickle.dumps(classifier)).score(images, labels) == classifier.score(images, labels)


def test_batches_of_one_do_not_trouble_a_batch_norm(digits: Any) -> None:
    images, labels = digits

    def model(in_shape: Any, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, classes))

    assert short(model=model, batch_size=23).fit(images, labels).n_iter_ == 3  # 300 = 13 · 23 + 1
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        short(model=model, batch_size=1).fit(images, labels)


def test_the_module_trains_in_training_mode_only(digits: Any) -> None:
    modes = []

    def model(in_shape: Any, classes: int) -> nn.Module:
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
        net.register_forward_pre_hook(lambda module, args: modes.append((module.training, tg.is_grad_enabled())))
        return net

    classifier = short(model=model, max_iter=1, batch_size=300, early_stopping=True).fit(*digits)
    assert modes == [(False, False), (True, True), (False, False)]  # tried out, one batch, the held out part
    modes.clear()
    classifier.module_.train()
    classifier.predict(digits[0][:10])
    assert modes == [(False, False)]


def test_a_function_is_told_the_shape_and_the_number_of_outputs() -> None:
    told = []

    def model(in_shape: Any, outputs: int) -> nn.Module:
        told.append((in_shape, outputs))
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))

    rng = np.random.default_rng(0)
    short(model=model).fit(rng.random((20, 6)), np.arange(20) % 4)
    short(model=model).fit(rng.random((20, 6, 5)), np.arange(20) % 2)
    short(CNNRegressor, model=model).fit(rng.random((20, 3, 6, 5)), rng.random((20, 7)))
    assert told == [((6,), 4), ((1, 6, 5), 2), ((3, 6, 5), 7)]


@pytest.mark.parametrize("model", ["lenet", "mlp", "mnist", "seed", "vgg"])
def test_every_model_of_the_package_serves(model: str, digits: Any) -> None:
    images, labels = digits
    assert short(model=model, max_iter=1).fit(images, labels).predict(images).shape == (300,)


@pytest.mark.parametrize("optimizer", ["adadelta", "adagrad", "adam", "adamw", "momentum", "rmsprop", "sgd"])
def test_every_optimizer_serves(optimizer: str, digits: Any) -> None:
    images, labels = digits
    classifier = short(optimizer=optimizer, max_iter=6, weight_decay=1e-4).fit(images.reshape(300, 64), labels)
    assert classifier.loss_curve_[-1] < classifier.loss_curve_[0]


def test_an_optimizer_of_ones_own_serves(digits: Any) -> None:
    images, labels = digits
    nesterov = functools.partial(optim.SGD, momentum=0.9, nesterov=True)
    classifier = short(optimizer=nesterov, lr=0.05).fit(images.reshape(300, 64), labels)
    assert classifier.loss_curve_[-1] < classifier.loss_curve_[0]
    assert classifier._optimizer.param_groups[0]["nesterov"]


# ---- in scikit-learn's company ----


def test_in_a_grid_search_over_a_pipeline(digits: Any) -> None:
    images, labels = digits
    pipeline = make_pipeline(MinMaxScaler(), short(image_shape=(1, 8, 8), max_iter=8))
    grid = {"cnnclassifier__lr": [1e-9, 5e-3], "cnnclassifier__batch_size": [32]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(images.reshape(300, 64), labels)
    assert search.best_params_["cnnclassifier__lr"] == 5e-3
    assert search.best_score_ > 0.6


def test_cross_validated_and_calibrated(digits: Any) -> None:
    images, labels = digits
    assert cross_val_score(short(max_iter=15), images, labels, cv=3).min() > 0.7
    for method in ("sigmoid", "isotonic"):
        calibrated = CalibratedClassifierCV(short(max_iter=15), method=method, cv=2).fit(images, labels)
        np.testing.assert_allclose(calibrated.predict_proba(images).sum(axis=1), 1, atol=1e-6)
        assert accuracy_score(labels, calibrated.predict(images)) > 0.8


def test_clone_copies_parameters_only(digits: Any) -> None:
    fitted = short(optimizer=optim.SGD, lr=0.1, class_weight={0: 2.0}).fit(*digits)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError, match="CNNClassifier instance is not fitted yet"):
        copy.predict(digits[0])


def test_shown_in_a_notebook(digits: Any) -> None:
    html = short().fit(*digits)._repr_html_()
    assert "CNNClassifier" in html
    assert "max_iter" in html
    assert repr(short(model="lenet")) == "CNNClassifier(max_iter=3, model='lenet', random_state=0, tol=None)"


def test_verbose_shows_a_progress_bar(digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    short(max_iter=2, dtype="float64").fit(*digits)
    assert capsys.readouterr() == ("", "")
    short(max_iter=2, dtype="float64", verbose=True).fit(*digits)
    out, error = capsys.readouterr()
    assert out == ""
    assert "CNNClassifier" in error
    assert "2/2" in error


# ---- errors ----


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": 3}, "CNNClassifier: model is 3, expected a name, or a function or class that makes a Module"),
        ({"model": nn.ReLU()}, r"model is ReLU\(\), expected a name, or a function or class"),
        ({"model": "lenett"}, "unknown model 'lenett'; did you mean lenet"),
        (
            {"model": lambda shape, classes: nn.Linear(8, 3)},
            r"model gives \(2, 1, 8, 3\) for 2 samples, expected \(2, 10\)",
        ),
        ({"optimizer": "adm"}, "optimizer is 'adm', expected a callable or one of sgd, momentum, adam"),
        ({"image_shape": (8,)}, r"image_shape is \(8,\), expected None, \(H, W\) or \(C, H, W\)"),
        ({"image_shape": (3, 8, 8)}, r"image_shape is \(3, 8, 8\), 192 numbers, but X has inputs of shape \(8, 8\)"),
        ({"image_shape": (4, 16)}, r"X has inputs of shape \(8, 8\), expected \(1, 4, 16\)"),
        ({"batch_size": 0}, "batch_size is 0, expected 'auto' or an integer >= 1"),
        ({"max_iter": 2.5}, "max_iter is 2.5, expected an integer >= 1"),
        ({"tol": -1}, "tol is -1, expected None or a number >= 0"),
        ({"n_iter_no_change": True}, "n_iter_no_change is True, expected a number >= 1"),
        ({"validation_fraction": 1}, "validation_fraction is 1, expected a number between 0 and 1"),
        ({"dtype": "float16"}, "dtype is 'float16', expected 'auto', 'float32' or 'float64'"),
        ({"class_weight": "even"}, "class_weight is 'even', expected None, 'balanced' or a dict"),
        ({"class_weight": {10: 1.0}}, r"class_weight has the labels \[10\], expected only \[0, 1, 2"),
        ({"class_weight": {1: -1.0}}, "expected no negative weights"),
        ({"class_weight": dict.fromkeys(range(10), 0.0)}, "all weights are zero, expected a positive one"),
        ({"lr": 1e30}, "the loss became nan in epoch 1; scale the input"),
    ],
)
def test_wrong_parameters_are_named(parameters: dict[str, Any], message: str, digits: Any) -> None:
    classifier = short(**parameters)
    with pytest.raises(ValueError, match=message):
        classifier.fit(*digits)
    with pytest.raises(NotFittedError):
        classifier.predict(digits[0])


def test_a_failed_fit_leaves_nothing_to_predict_with(digits: Any) -> None:
    classifier = short().fit(*digits)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        classifier.fit(digits[0], np.full(300, np.nan))
    with pytest.raises(NotFittedError):
        classifier.predict(digits[0])


def test_a_model_that_is_none_is_named(digits: Any) -> None:
    with pytest.raises(TypeError, match="CNNClassifier: model made a dict, expected a Module"):
        short(model=lambda shape, classes: {}).fit(*digits)


@pytest.mark.parametrize("shape", [(20, 32, 32, 3), (20, 3, 3), (20, 2, 4, 5, 6)])
def test_auto_wants_pictures_with_channels_first(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"expected images \(C, H, W\), channels first, of at least 4x4"):
        short().fit(np.zeros(shape), np.arange(20) % 2)


def test_later_pictures_have_the_same_shape(digits: Any) -> None:
    classifier = short().fit(*digits)
    with pytest.raises(ValueError, match=r"CNNClassifier: X has inputs of shape \(4, 16\), expected \(1, 8, 8\)"):
        classifier.predict(digits[0].reshape(-1, 4, 16))
    with pytest.raises(ValueError, match="X has 5 features, but CNNClassifier is expecting 64 features"):
        classifier.predict(np.zeros((3, 5)))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(300), "sample_weight holds -1, expected no negative weights"),
        (np.ones(3), r"sample_weight has the shape \(3,\), expected \(300,\), one number a sample"),
        (np.zeros(300), "all weights are zero"),
    ],
)
def test_wrong_weights_are_told(weight: Any, message: str, digits: Any) -> None:
    with pytest.raises(ValueError, match=message):
        short().fit(*digits, sample_weight=weight)


def test_partial_fit_cannot_balance(digits: Any) -> None:
    with pytest.raises(ValueError, match="partial_fit: class_weight is 'balanced', expected None or a dict"):
        short(class_weight="balanced").partial_fit(*digits, classes=np.arange(10))
