"""func: products with Jacobians, Hessians, checkpointing."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import func


def cube(x: tg.Tensor) -> tg.Tensor:
    return (x**3).sum()


def point(*values: float) -> tg.Tensor:
    return tg.tensor(np.array(values))


def mixed(x: tg.Tensor) -> tg.Tensor:
    return tg.stack([x[0] * x[1], x[1].exp(), x[0].sin() * x[2]])


def mixed_jacobian(x: np.ndarray) -> np.ndarray:
    return np.array([[x[1], x[0], 0], [0, np.exp(x[1]), 0], [np.cos(x[0]) * x[2], 0, np.sin(x[0])]])


def test_jacobian_products_agree_with_the_jacobian() -> None:
    x = np.array([0.3, -0.7, 1.1])
    J = mixed_jacobian(x)
    v, u = np.array([1.0, 2.0, -1.0]), np.array([0.5, -1.0, 3.0])
    np.testing.assert_allclose(func.jacrev(mixed)(point(*x)).numpy(), J, rtol=1e-14)
    out, pull = func.vjp(mixed, point(*x))
    np.testing.assert_allclose(pull(tg.tensor(u))[0].numpy(), u @ J, rtol=1e-14)
    value, pushed = func.jvp(mixed, (point(*x),), (tg.tensor(v),))
    np.testing.assert_allclose(pushed.numpy(), J @ v, rtol=1e-14)
    np.testing.assert_allclose(value.numpy(), out.numpy())


def test_aux_comes_out_beside_the_results_without_the_graph_of_the_call() -> None:
    class Pair(NamedTuple):
        first: tg.Tensor
        count: int

    def f(x: tg.Tensor) -> tuple[tg.Tensor, Any]:
        return mixed(x), {"twice": x * 2, "kept": [Pair(x + 1, 3), (None, "text")]}

    x, v = point(0.3, -0.7, 1.1), point(1.0, 2.0, -1.0)
    out, pull, aux = func.vjp(f, x, has_aux=True)
    np.testing.assert_array_equal(pull(v)[0].numpy(), func.vjp(mixed, x)[1](v)[0].numpy())
    value, pushed, again = func.jvp(f, (x,), (v,), has_aux=True)
    np.testing.assert_array_equal(pushed.numpy(), func.jvp(mixed, (x,), (v,))[1].numpy())
    _, (number, third) = func.grad_and_value(lambda x: (cube(x), f(x)[1]), has_aux=True)(x)
    assert (out.tolist(), number.item()) == (value.tolist(), cube(x).item())
    for found in (aux, again, third):
        assert found["twice"].numpy().tolist() == [0.6, -1.4, 2.2]  # numpy: it requires no grad
        pair, rest = found["kept"]
        assert isinstance(pair, Pair)
        assert (pair.first.numpy().tolist(), pair.count, rest) == ((x + 1).tolist(), 3, (None, "text"))
    x.requires_grad_()
    _, _, aux = func.vjp(f, x, has_aux=True)  # inside another differentiation, it takes part in that
    aux["twice"].sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    for call in (
        lambda: func.vjp(cube, x, has_aux=True),
        lambda: func.jvp(cube, (x,), (x,), has_aux=True),
        lambda: func.grad(cube, has_aux=True)(x),
    ):
        with pytest.raises(TypeError, match=r"^\w+: the function returned Tensor, expected \(output, aux\)"):
            call()
    assert func.jvp(lambda x: (tg.ones(2), x), (x,), (x,), has_aux=True)[1].tolist() == [0.0, 0.0]


def test_hessian_and_hvp() -> None:
    x = point(1.0, -2.0)
    assert func.hessian(cube)(x).tolist() == [[6.0, 0.0], [0.0, -12.0]]
    value, product = func.hvp(cube, x, point(1.0, 1.0))
    assert (value.item(), product.tolist()) == (-7.0, [6.0, -12.0])


def test_nested_grad() -> None:
    third = func.grad(func.grad(func.grad(lambda x: x**4)))
    assert third(tg.tensor(2.0)).item() == 48.0


def test_gradients_flow_through_func_to_outer_leaves() -> None:
    x = point(2.0).requires_grad_()
    func.grad(cube)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [12.0]


def test_argnums() -> None:
    gx, gy = func.grad(lambda x, y: (x * y * y).sum(), argnums=(0, 1))(point(2.0), point(3.0))
    assert (gx.tolist(), gy.tolist()) == ([9.0], [12.0])
    with pytest.raises(IndexError, match="argnums names argument 2, there are 1"):
        func.grad(cube, argnums=2)(point(1.0))


def test_constant_functions_have_zero_derivatives() -> None:
    x = point(1.0, 2.0)
    assert func.jacrev(lambda _: tg.ones(2))(x).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert func.hvp(lambda t: t.sum(), x, x)[1].tolist() == [0.0, 0.0]


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"the function returned shape \(2,\), expected one number"):
        func.grad(lambda x: x)(point(1.0, 2.0))
    with pytest.raises(TypeError, match="the function returned float"):
        func.grad(lambda x: 1.0)(point(1.0))
    with pytest.raises(ValueError, match=r"tangent 0 has shape \(1,\), its primal \(2,\)"):
        func.jvp(cube, (point(1.0, 2.0),), (point(1.0),))


def test_checkpoint_gives_the_same_gradients_with_parameters_and_dropout() -> None:
    w = tg.randn(4, 4, dtype=tg.float64, requires_grad=True)
    x = tg.randn(3, 4, dtype=tg.float64, requires_grad=True)

    def block(t: tg.Tensor) -> tg.Tensor:
        return tg.nn.functional.dropout((t @ w).tanh() @ w, 0.5)

    results = []
    for run in (block, lambda t: func.checkpoint(block, t, use_reentrant=False, early_stop=False)):
        tg.manual_seed(3)
        out = (run(x) ** 2).sum()
        gx, gw = tg.autograd.grad(out, (x, w), create_graph=True)
        second = tg.autograd.grad((gx * gx).sum() + (gw * gw).sum(), (x, w))
        tg.manual_seed(3)
        first = tg.autograd.grad((run(x) ** 2).sum(), (x, w))
        results.append([g.detach().numpy() for g in (out, gx, gw, *second, *first)])
    for plain, checkpointed in zip(*results, strict=True):
        np.testing.assert_allclose(checkpointed, plain, rtol=1e-13)


def test_checkpoint_around_a_function_that_uses_results_from_outside() -> None:
    grads = []
    for run in (lambda f, t: f(t), func.checkpoint):
        w = tg.tensor(np.array([1.0, 2.0]), requires_grad=True)
        h = w.exp()
        y = run(lambda t, h=h: (t * h).sin().sum(), h)
        for _ in range(2):
            (y + h.sum()).backward(retain_graph=True)
        assert w.grad is not None
        grads.append(w.grad.numpy())
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-13)


def test_checkpoint_notices_what_has_changed() -> None:
    w, x = (tg.tensor(np.array([v]), requires_grad=True) for v in (2.0, 3.0))
    y = func.checkpoint(lambda t: (t * w * w).sum(), x)
    w.grad = tg.tensor(np.array([1.0]))
    tg.optim.SGD([w], lr=1.0).step()
    with pytest.raises(RuntimeError, match="checkpoint: the function gives other values now"):
        y.backward()


def test_func_records_inside_inference_mode() -> None:
    with tg.inference_mode():
        assert func.grad(cube)(point(2.0)).tolist() == [12.0]


def test_checkpoint_keeps_less() -> None:
    x = tg.randn(10, requires_grad=True)
    kept = func.checkpoint(lambda t: t.exp().sin().exp(), x)
    assert kept.node is not None
    assert set(kept.node.saved) == {"tensors"}
    with tg.no_grad():
        assert not func.checkpoint(tg.exp, x).requires_grad


# ---- modules as functions ----------------------------------------------------------------------------------


def test_a_module_is_called_with_other_parameters_and_keeps_its_own() -> None:
    model = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.BatchNorm1d(3), tg.nn.Linear(3, 1)).double().eval()
    given = {name: p.detach() * 2 for name, p in model.named_parameters()}
    statistics = {"1.running_mean": point(1.0, 2.0, 3.0)}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = point(1.0, -2.0).reshape(1, 2)
    out = func.functional_call(model, (given, statistics), x)
    assert all(tg.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(isinstance(p, tg.nn.Parameter) for p in model.parameters())
    model.load_state_dict(before | given | statistics)
    assert tg.equal(out, model(x))
    assert func.functional_call(model, given, (x,), {}).tolist() == func.functional_call(model, given, x).tolist()


def test_gradients_go_to_the_parameters_that_were_given() -> None:
    model = tg.nn.Linear(2, 1)
    given = {"weight": tg.tensor([[1.0, 2.0]], requires_grad=True)}
    func.functional_call(model, given, tg.tensor([3.0, 4.0])).sum().backward()
    assert given["weight"].grad is not None
    assert given["weight"].grad.tolist() == [[3.0, 4.0]]
    assert model.weight.grad is None


def test_tied_parameters_change_under_both_names() -> None:
    class Tied(tg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = tg.nn.Linear(2, 2, bias=False)
            self.b = tg.nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            out: tg.Tensor = self.b(self.a(x))
            return out

    model, x = Tied(), tg.ones(2)
    zero = {"a.weight": tg.zeros(2, 2)}
    assert func.functional_call(model, zero, x).tolist() == [0.0, 0.0]
    tg.nn.init.eye_(model.a.weight)
    two = {"a.weight": tg.eye(2) * 2}
    assert func.functional_call(model, two, x).tolist() == [4.0, 4.0]
    assert func.functional_call(model, two, x, tie_weights=False).tolist() == [2.0, 2.0]


def test_functional_call_says_what_does_not_fit_and_gives_the_parameters_back() -> None:
    model = tg.nn.Linear(2, 1)
    own = model.weight
    with pytest.raises(ValueError, match="functional_call: Linear has no parameter or buffer 'weights'"):
        func.functional_call(model, {"weights": own}, tg.ones(2))
    with pytest.raises(ValueError, match="functional_call: 'bias' of Linear is not given"):
        func.functional_call(model, {"weight": own}, tg.ones(2), strict=True)
    with pytest.raises(ValueError, match="linear"):
        func.functional_call(model, {"weight": tg.ones(1, 5)}, tg.ones(2))
    assert model.weight is own


def test_gradients_with_respect_to_a_dict_of_parameters_have_its_form() -> None:
    parameters = {"w": point(2.0, 3.0), "rest": [point(1.0), (point(5.0),)]}

    def loss(p: dict[str, tg.Tensor], x: tg.Tensor) -> tuple[tg.Tensor, str]:
        return (p["w"] * x).sum() * p["rest"][1][0].sum() + p["rest"][0].sum() * 3, "seen"

    g, aux = func.grad(loss, has_aux=True)(parameters, point(1.0, 10.0))
    assert aux == "seen"
    assert g["w"].tolist() == [5.0, 50.0]
    assert (g["rest"][0].tolist(), g["rest"][1][0].tolist()) == ([3.0], [32.0])
    (gp, gx), (value, _) = func.grad_and_value(loss, (0, 1), has_aux=True)(parameters, point(1.0, 10.0))
    assert (gp["w"].tolist(), gx.tolist(), value.item()) == ([5.0, 50.0], [10.0, 15.0], 163.0)
    with pytest.raises(TypeError, match="func: an argument is float, expected a Tensor"):
        func.grad(lambda p: p["x"])({"x": 1.0})


def test_checkpoint_notices_a_change_that_zeros_hide() -> None:
    """The second pass gives the same values, but other gradients."""
    weight, factor, mask, index = tg.ones(2, 2, requires_grad=True), tg.ones(2), np.array([True, False]), [[0, 1]]
    number = [2.0]

    def block(t: Any) -> Any:
        return ((t @ weight) * factor * number[0]).masked_fill(tg.tensor(mask), 0.0)[:, index[0]].sum()

    def replaced() -> None:
        weight.data = tg.zeros(2, 2)

    changes: list[Any] = [
        lambda: None,
        lambda: factor.fill_(3.0),
        lambda: number.__setitem__(0, 5.0),
        lambda: mask.fill(False),
        lambda: index.__setitem__(0, [1, 1]),
        replaced,
    ]
    for change in changes:
        x = tg.zeros(2, 2, requires_grad=True)
        y = func.checkpoint(block, x)
        change()
        if change is changes[0]:
            (only,) = tg.autograd.grad(y, weight, retain_graph=True)
            assert only.array.tolist() == [[0, 0], [0, 0]]
            y.backward()
        else:
            with pytest.raises(RuntimeError, match="checkpoint: the function gives other values now"):
                y.backward()


def test_checkpoint_takes_keywords_and_constants() -> None:
    x, c = tg.tensor([1.0, 2.0], requires_grad=True), tg.tensor([3, 4])
    (g,) = tg.autograd.grad(func.checkpoint(lambda t, k, p: (t**p * k).sum(), x, c, p=3), x, create_graph=True)
    assert g.tolist() == [9, 48]
    assert tg.autograd.grad(g.sum(), x)[0].tolist() == [18, 48]


def test_checkpoint_sequential_gives_the_same_gradients() -> None:
    model = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.Tanh(), tg.nn.Linear(4, 4), tg.nn.Tanh(), tg.nn.Linear(4, 1))
    results = []
    for run in (
        model,
        *(lambda x, n=n: func.checkpoint_sequential(model, n, x, use_reentrant=False) for n in (1, 2, 5)),
    ):
        model.zero_grad()
        x = tg.ones(2, 3, requires_grad=True)
        run(x).sum().backward()
        assert x.grad is not None
        results.append([x.grad.array, *(p.grad.array for p in model.parameters() if p.grad is not None)])
    assert len(results[0]) == 7
    for found in results[1:]:
        for a, b in zip(results[0], found, strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="checkpoint_sequential: 6 segments of 5 functions"):
        func.checkpoint_sequential(model, 6, x)
