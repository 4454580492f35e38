"""The battery over every op of the package, and the battery itself: what it finds, what it says, how it is run."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import kernels, ops
from tinygrad_cnn.autograd import Array, Op, op
from tinygrad_cnn.testing import ErrorCase, OpSpec, Sample, check_op, gradient_properties, register_op, registered
from tinygrad_cnn.testing import spec as specs
from tinygrad_cnn.testing import strategies as ts
from tinygrad_cnn.testing.__main__ import main
from tinygrad_cnn.testing.battery import Check, checks
from tinygrad_cnn.testing.properties import PROPERTIES, Case
from tinygrad_cnn.testing.rounding import shaken
from tinygrad_cnn.testing.strategies import fill

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent


@gradient_properties()
def test_gradients() -> None:
    """Every property of every registered op, with each of its kernel sets."""


# ---- every op is there -------------------------------------------------------------------------------------


def ops_of_the_package() -> list[Op]:
    """All Op objects in the modules of the package that make any, also those that stand in tuples and dicts."""
    package = Path(tg.__file__).parent
    makes = re.compile(r"^@op\b|\b[oO]p\(", re.MULTILINE)
    files = [file.relative_to(package.parent) for file in package.rglob("*.py") if makes.search(file.read_text())]
    modules = [importlib.import_module(".".join(file.with_suffix("").parts)) for file in files]
    found: dict[int, Op] = {}
    stack = [value for module in modules for value in vars(module).values()]
    while stack:
        value = stack.pop()
        if isinstance(value, Op):
            found[id(value)] = value
        elif isinstance(value, tuple | list | dict):
            stack += value.values() if isinstance(value, dict) else value
    return sorted(found.values(), key=lambda found_op: found_op.name)


def test_the_ops_are_looked_for_in_the_whole_package() -> None:
    names = {found.name for found in ops_of_the_package()}
    assert {"conv2d", "add", "svdvals", "left_vectors", "right_vectors"} <= names
    assert len(names) >= 150


@pytest.mark.parametrize("found", ops_of_the_package(), ids=lambda found: found.name)
def test_every_op_of_the_package_is_registered(found: Op) -> None:
    assert found in [spec.op for spec in registered().values()], f"{found.name}: add a row in testing/samples/"


def test_registered_ops_tell_their_rules() -> None:
    rules = registered()["conv2d"].op.rules
    assert list(rules) == ["input", "weight", "bias"]
    assert rules["input"].function.__name__ == "conv_grad_input"


def test_there_are_twenty_properties_with_numbers_and_sentences() -> None:
    assert {p.number for p in PROPERTIES.values()} == set(range(1, 21))
    assert all(p.sentence.endswith(".") for p in PROPERTIES.values())


# ---- what it finds -----------------------------------------------------------------------------------------


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    registered()
    before = dict(specs._registry)
    yield
    specs._registry.clear()
    specs._registry.update(before)


def scaled(name: str, rule: object) -> OpSpec:
    """The op 3x, with this gradient rule."""

    @op
    def triple(x: Array) -> object:
        """3x."""
        return np.multiply(x, 3)

    triple.name = name
    triple.vjp("x")(rule)
    return register_op(OpSpec(triple, inputs=ts.arrays(ts.shapes(1, 3)), linear_in=("x",), batched=("x",)))


@pytest.mark.usefixtures("registry")
def test_a_right_op_passes() -> None:
    scaled("right", lambda g: g * 3)
    check_op("right")


def memory_order(g: Array) -> Array:
    """Right only if g lies in memory in C order."""
    return (g.ravel(order="K").reshape(g.shape) if isinstance(g, np.ndarray) else g) * 3


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("one_percent", lambda g: g * 3.03),
        ("sign", lambda g: g * -3),
        ("nothing", lambda g: g * 0),
        ("reversed", lambda g: ops.flip(g, (g.ndim - 1,)) * 3),
        ("batch", lambda g: g * (3 if g.shape[0] == 2 else 4)),
        ("last_entry", lambda g: g * np.where(np.arange(g.shape[-1]) == g.shape[-1] - 1, 3.003, 3)),
        ("memory", memory_order),
        ("tiny", lambda g: g * (3 + 3e-7)),
        ("bounded", lambda g: ops.clamp(g, -2.0, 2.0) * 3),
    ],
)
def test_faults_are_found(name: str, rule: object) -> None:
    scaled(name, rule)
    with pytest.raises(AssertionError, match=name):
        check_op(name)


@pytest.mark.usefixtures("registry")
def test_a_failure_names_the_case_and_the_line_that_runs_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    spec = scaled("wrong", lambda g: g * 3.03)
    check = next(check for check in checks(spec) if check.prop.name == "slopes")
    with pytest.raises(AssertionError) as caught:
        check.run()
    text = str(caught.value)
    assert "wrong-slopes does not hold: Along random directions the gradients are the slopes of the values." in text
    assert re.search(r"d output \[0\] / d x\[0\]: analytic 3.03, numeric 3 in", text)
    assert "smallest case: wrong(array([0.125]))" in text
    line = next(line for line in text.splitlines() if "reproduce:" in line)
    example = line.split("--example ")[1]
    with pytest.raises(AssertionError, match=r"analytic 3.03, numeric 3 in"):
        check.run(example=example)
    assert main(["wrong", "slopes", "--example", example]) == 1
    assert "0 of 1 checks hold" in capsys.readouterr().out
    scaled("wrong", lambda g: g * 3)
    assert main(["wrong", "slopes", "--example", example]) == 0
    assert "1 of 1 checks hold" in capsys.readouterr().out
    register_op(OpSpec(spec.op, inputs=ts.conv2d_args()))
    with pytest.raises(SystemExit) as ended:
        main(["wrong", "slopes", "--example", example])
    assert ended.value.code == 2
    assert "wrong-slopes: the example was drawn from other inputs than it has now" in capsys.readouterr().err


def test_the_checks_are_no_asserts() -> None:
    """With `python -O` those are not there, and the battery would find nothing."""
    for name in ("properties", "battery", "grade", "model_check"):
        tree = ast.parse((Path(tg.__file__).parent / "testing" / f"{name}.py").read_text())
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)], name
    code = """
        import numpy as np
        from tinygrad_cnn.autograd import op
        from tinygrad_cnn.testing import OpSpec, check_op, register_op, strategies as ts

        assert False, "this is there without -O"

        @op
        def triple(x):
            return np.multiply(x, 3)

        triple.vjp("x")(lambda g: g * 3.03)
        register_op(OpSpec(triple, inputs=ts.arrays((2,)), reference=lambda x: x * 3.03))
        for name in ("forward", "slopes"):
            try:
                check_op("triple", name)
            except AssertionError as error:
                print(str(error).splitlines()[1])
        """
    command = [sys.executable, "-O", "-c", textwrap.dedent(code)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    first, second = out.stdout.splitlines()
    assert first.startswith("  the value: ")
    assert second.startswith("  gradcheck: wrong: ")


# ---- rounding ----------------------------------------------------------------------------------------------

NEAR_ZERO = Sample((fill((2, 3), "normal", 5), None, None, None, 1e-3))  # of two samples the gradient is almost none


def checked(sample: Sample, *names: str) -> None:
    """Ask these properties of batch norm in float32 with the fast kernels, for this call and many seeds."""
    before = kernels.get_kernels()
    kernels.set_kernels("fast")
    try:
        for seed in range(20):
            for name in names:
                PROPERTIES[name].run(Case(registered()["batch_norm"], sample, seed, np.float32))
    finally:
        kernels.set_kernels(before)


SAME = ("linear", "layout", "shared", "identities", "second", "float32", "stateful")


def test_where_large_terms_cancel_rounding_is_no_fault() -> None:
    for scale in (1.0, 30.0):
        x, *rest = NEAR_ZERO.args
        checked(Sample((x * scale, *rest)), *SAME)


@pytest.mark.parametrize("error", [1e-2, 1e-4])
@pytest.mark.parametrize("name", ["identities", "second"])
def test_where_large_terms_cancel_a_fault_in_one_of_them_is_one(
    monkeypatch: pytest.MonkeyPatch, error: float, name: str
) -> None:
    kernel = kernels.batch_norm_backward

    def faulty(g: Array, *args: object) -> object:
        first, *rest = kernel(g, *args)
        return first + g * g.dtype.type(error), *rest

    monkeypatch.setattr(kernels, "batch_norm_backward", faulty)
    with pytest.raises(AssertionError, match="input"):
        checked(NEAR_ZERO, name)


def test_a_shortcut_does_not_excuse_itself_by_its_own_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = kernels.batch_norm_backward
    rng = np.random.default_rng(0)

    def noisy(*args: object) -> object:
        first, *rest = kernel(*args)
        return first + np.asarray(1e-3 * rng.standard_normal(first.shape), first.dtype), *rest

    monkeypatch.setattr(kernels, "batch_norm_backward", noisy)
    with pytest.raises(AssertionError, match="gradient of 'input'"):
        checked(NEAR_ZERO, "identities")


@pytest.mark.usefixtures("registry")
def test_a_fault_of_a_tiny_gradient_is_seen_in_float32() -> None:
    @op
    def tiny(x: Array) -> object:
        """1e-7 x."""
        return np.multiply(x, x.dtype.type(1e-7))

    tiny.vjp("x")(lambda g: g * (g.dtype.type(1e-7) if g.dtype == np.float64 else 1.01e-7))
    register_op(OpSpec(tiny, inputs=ts.arrays(ts.shapes(1, 3))))
    with pytest.raises(AssertionError, match="tiny-float32"):
        check_op("tiny", "float32")


@pytest.mark.parametrize("error", [0.0, 1e-2])
def test_numbers_that_are_all_rounded_alike_are_no_fault_and_hide_none(error: float) -> None:
    """x - tanh(x), whose float32 result is the same multiple of 2**-28 all around this x."""

    def shrunk(x: Array) -> object:
        factor = 1.0 if x.dtype == np.float64 else 1.0 + error
        return ops.mul(ops.sub(x, ops.tanh(x)), factor)

    case = Case(OpSpec(shrunk, inputs=ts.arrays()), Sample((np.array(0.04135573),)), 0)
    if error:
        with pytest.raises(AssertionError, match="the value"):
            PROPERTIES["float32"].run(case)
    else:
        PROPERTIES["float32"].run(case)


@pytest.mark.parametrize("x", [1e-5, 0.00483597, 0.3])
@pytest.mark.parametrize("error", [0.0, 1e-2])
def test_the_same_in_double_precision(x: float, error: float) -> None:
    """g - g (1 - tanh(x)**2), whose last step loses all but a few digits, the same ones for all x near this."""

    @op
    def shrunk(x: Array) -> object:
        return x - np.tanh(x)

    @shrunk.vjp("x")
    def shrunk_grad(g: Array, x: Array) -> object:
        t = ops.tanh(x)
        return g - g * (1 - t * t) + error * g * g * t * t

    case = Case(OpSpec(shrunk, inputs=ts.arrays()), Sample((np.array(x),)), 1986452)
    if error:
        with pytest.raises(AssertionError, match="gradient of 'x'"):
            PROPERTIES["linear"].run(case)
    else:
        PROPERTIES["linear"].run(case)


def test_shaken_numbers_move_by_their_last_places_and_ties_stay() -> None:
    for dtype in (np.float32, np.float64):
        x = np.array([[3.0, -0.0, 3.0], [1e-8, -7e5, np.inf]], dtype)
        moved = shaken(x, np.random.default_rng(1))
        assert (moved.shape, moved.dtype) == (x.shape, x.dtype)
        assert moved[0, 0] == moved[0, 2]
        finite = np.isfinite(x) & (x != 0)
        off = np.abs(moved[finite] / x[finite] - 1)
        assert (off > 0).all()
        assert (off <= 5 * np.finfo(dtype).eps).all()
        assert moved[0, 1] == 0


# ---- examples ----------------------------------------------------------------------------------------------


@pytest.fixture
def drawn() -> Iterator[tuple[Check, list[str]]]:
    """A check of an op that is right, and the list of the calls that it is tried with."""
    seen: list[str] = []

    @op
    def watched(x: Array) -> object:
        seen.append(repr(x))
        return np.multiply(x, 1)

    watched.vjp("x")(lambda g: g)
    yield next(c for c in checks(OpSpec(watched, inputs=ts.arrays())) if c.prop.name == "shape"), seen
    hypothesis.settings.load_profile(hypothesis.settings.get_current_profile_name())


def examples_of(check: Check, seen: list[str], seed: int | None = None) -> list[str]:
    seen.clear()
    check.run(seed=seed)
    return list(seen)


def test_a_seed_stands_for_its_examples(drawn: tuple[Check, list[str]]) -> None:
    assert len(set(examples_of(*drawn, seed=3))) > 5
    assert examples_of(*drawn, seed=3) == examples_of(*drawn, seed=3)
    assert examples_of(*drawn, seed=3) != examples_of(*drawn, seed=4)


def test_a_profile_that_is_derandomized_repeats_the_examples(drawn: tuple[Check, list[str]]) -> None:
    usual = hypothesis.settings.get_current_profile_name()
    hypothesis.settings.register_profile("repeated", deadline=None, derandomize=True, max_examples=50)
    hypothesis.settings.register_profile("random", deadline=None, derandomize=False, max_examples=50)
    try:
        hypothesis.settings.load_profile("repeated")
        assert examples_of(*drawn) == examples_of(*drawn)
        hypothesis.settings.load_profile("random")
        assert examples_of(*drawn) != examples_of(*drawn)
    finally:
        hypothesis.settings.load_profile(usual)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "default False 100"),
        ({"CI": "true"}, "ci True 100"),
        ({"CI": "true", "HYPOTHESIS_PROFILE": "deep"}, "deep False 2000"),
        ({"CI": "true", "HYPOTHESIS_PROFILE": "default"}, "default False 100"),
    ],
)
@pytest.mark.parametrize("place", ["conftest", "docs"])
def test_ci_draws_the_same_examples_each_time(environment: dict[str, str], expected: str, place: str) -> None:
    page = (ROOT / "docs" / "test-gradients.md").read_text()
    shown = re.search(r"^```python conftest.py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown is not None
    code = "import conftest" if place == "conftest" else shown[1]
    code += (
        "\nimport hypothesis; s = hypothesis.settings()"
        "\nprint(s.get_current_profile_name(), s.derandomize, s.max_examples)"
    )
    others = {name: value for name, value in os.environ.items() if name not in ("CI", "HYPOTHESIS_PROFILE")}
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(tg.__file__).parent.parent)])
    everything = others | {"PYTHONPATH": paths} | environment
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=everything)
    assert out.stdout.strip() == expected


@pytest.mark.usefixtures("registry")
def test_slopes_that_are_hidden_now_and_then_are_no_fault_and_those_that_always_are_is_one() -> None:
    seen = ts.arrays((3,))
    far = ts.arrays((3,), low=6, high=7)  # where tanh is 1, its slope is lost in rounding
    register_op(OpSpec(tg.tanh, name="tanh, often far out", inputs=st.one_of(seen, seen, seen, far)))
    for seed in range(5):
        for check in checks("tanh, often far out"):
            if check.prop.name == "slopes":
                check.run(seed=seed)
    register_op(OpSpec(lambda x: (x + 1e12) - 1e12, name="hidden", inputs=seen))
    with pytest.raises(AssertionError, match="in 10 of 10 examples no slopes can be seen; gradcheck: ill-conditioned"):
        check_op("hidden", "slopes", examples=10)


# ---- what is declared --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("registry")
def test_declared_errors_are_held_to() -> None:
    spec = scaled("careless", lambda g: g * 3)
    wrong = ErrorCase(Sample((np.ones(2),)), ValueError, "expected")
    register_op(OpSpec(spec.op, inputs=spec.inputs, errors=[wrong]))
    with pytest.raises(AssertionError, match="no ValueError was raised"):
        check_op("careless", "errors")


@pytest.mark.usefixtures("registry")
def test_functions_of_ops_can_be_registered_too() -> None:
    def norm(x: tg.Tensor) -> tg.Tensor:
        return tg.sqrt((x * x).sum() + 1)

    register_op(OpSpec(norm, inputs=ts.tensors((3,)), reference=lambda x: np.sqrt((x * x).sum() + 1)))
    check_op("norm")


STREAM = np.random.default_rng(0)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("function", "inputs", "said"),
    [
        (lambda x: x + x, ts.class_labels(3, 4), "there is no float array among its arguments"),
        (lambda x: x > 0, ts.arrays((3,)), "there is no float Tensor among its results"),
        (lambda x: float(x.array.sum()), ts.arrays((3,)), "called with Tensors it returned float, expected a Tensor"),
        (lambda x: None, ts.arrays((3,)), "called with Tensors it returned NoneType, expected a Tensor"),
        (lambda x: x * STREAM.random(), ts.arrays((3,)), "two calls gave different values"),
        (
            tg.exp,
            ts.arrays((3,)).map(lambda x: x * np.nan),
            "no slopes can be seen; gradcheck: ill-conditioned: an inp",
        ),
        (lambda x: x[9], ts.arrays((3,)), "IndexError: getitem: index 9 is out of bounds"),
    ],
    ids=["integers", "comparison", "number", "nothing", "random", "nan", "raises"],
)
def test_what_is_no_op_gets_a_clear_word(function: Callable[..., object], inputs: object, said: str) -> None:
    register_op(OpSpec(function, name="odd", inputs=inputs))
    with pytest.raises(AssertionError, match=re.escape(said)) as caught:
        check_op("odd")
    assert "smallest case: odd" in str(caught.value)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(KeyError, match="'nothing' is not registered"):
        check_op("nothing")
    with pytest.raises(ValueError, match=r"check_op: \['speed'\] are no properties"):
        check_op("exp", "speed")


# ---- how it is run -----------------------------------------------------------------------------------------


def test_the_command_line_runs_ops_and_properties(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exp", "linear", "--examples", "3"]) == 0
    assert "1 of 1 checks hold" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["expp"])
    assert caught.value.code == 2


@pytest.mark.parametrize("parallel", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_the_plugin_prints_the_matrix(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, parallel: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(tg.__file__).parent.parent))
    pytester.makeconftest(
        """
        from hypothesis import settings

        settings.register_profile("few", max_examples=10)
        settings.load_profile("few")
        """
    )
    pytester.makepyfile(
        """
        from tinygrad_cnn.testing import gradient_properties

        @gradient_properties("neg", "relu")
        def test_two(): ...
        """
    )
    plugin = [] if _installed() else ["-p", "tinygrad_cnn.testing.plugin"]
    result = pytester.runpytest_subprocess("--grad-coverage", "-q", *plugin, *parallel)
    text = result.stdout.str()
    assert "gradient properties" in text
    assert re.search(r"^neg +\+ +\+", text, re.MULTILINE)
    assert re.search(r"^relu +\+\+ +\+\+", text, re.MULTILINE), "both kernel sets"
    assert "0 do not hold" in text


def test_a_report_in_pytest_shows_the_frames_of_the_op_and_not_those_of_the_battery(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(tg.__file__).parent.parent))
    pytester.makepyfile(
        test_mine="""
        import numpy as np
        import tinygrad_cnn as tg
        from tinygrad_cnn.autograd import op
        from tinygrad_cnn.testing import OpSpec, check_op, gradcheck, gradient_properties, strategies as ts

        def tenth(x):
            return x[9]

        @op
        def raises(x):
            return tenth(np.multiply(x, 3))

        @op
        def wrong(x):
            return np.multiply(x, 3)

        @op
        def rule_raises(x):
            return np.multiply(x, 3)

        raises.vjp("x")(lambda g: g)
        wrong.vjp("x")(lambda g: g * 3.03)

        @rule_raises.vjp("x")
        def rule_raises_grad(g, x):
            return tenth(np.multiply(x, 3))

        @gradient_properties(OpSpec(wrong, inputs=ts.arrays((2,)), without=("jacobian", "second", "float32", "scales")))
        def test_wrong(): ...

        def test_check_op():
            check_op(OpSpec(wrong, inputs=ts.arrays((2,))), "slopes")

        def test_raises():
            check_op(OpSpec(raises, inputs=ts.arrays((2,))), "shape")

        def test_rule():
            check_op(OpSpec(rule_raises, inputs=ts.arrays((2,))), "linear")

        @gradient_properties(OpSpec(raises, inputs=ts.arrays((2,))))
        def test_all(): ...

        def test_gradcheck():
            gradcheck(raises, tg.ones(2, dtype=tg.float64))
        """
    )
    lines = pytester.path.joinpath("test_mine.py").read_text().splitlines()

    def report(test: str) -> str:
        return pytester.runpytest_subprocess("-v", "-k", test).stdout.str()

    internal = re.compile(r"testing/(properties|gradcheck|sample|rounding|battery)\.py|/hypothesis/|attempt\(")
    text = report("test_wrong and slopes")
    assert "wrong-slopes does not hold" in text
    assert not internal.search(text), text
    failure = text.partition("= FAILURES =")[2].partition("= short test summary")[0]
    assert 0 < len(failure.splitlines()) < 15, text
    text = report("test_check_op")
    assert "check_op(OpSpec(wrong" in text
    assert not internal.search(text), text
    calls = {
        "test_raises": 'inputs=ts.arrays((2,))), "shape")',
        "test_rule": '"linear")',
        "test_gradcheck": "tg.ones(2",
    }
    for name, call in calls.items():
        text = report(name)
        assert "return tenth(np.multiply(x, 3))" in text, "the op's own frames stay"
        assert re.search(r"^test_mine\.py:\d+: IndexError$", text, re.MULTILINE)
        assert not internal.search(text), text
        line = re.search(r" at test_mine\.py:(\d+)", text)  # the user's line of a failed call, or of a rule's
        assert line, text
        assert call in lines[int(line[1]) - 1]
    text = report("test_all and forward")
    line = re.search(r" at test_mine\.py:(\d+)", text)
    assert line, text
    assert lines[int(line[1]) - 1] == "def test_all(): ..."


def test_pytest_finds_the_plugin_by_itself_after_an_installation() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"tinygrad_cnn": "_tinygrad_cnn_pytest"}
    copied = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert copied == {"tinygrad_cnn/testing/plugin.py": "_tinygrad_cnn_pytest.py"}


def _installed() -> bool:
    """Whether the package is installed, with its entry point: then pytest has the plugin already."""
    from importlib.metadata import entry_points

    return any(point.name == "tinygrad_cnn" for point in entry_points(group="pytest11"))


def test_the_plugin_alone_imports_nothing_but_pytest(tmp_path: Path) -> None:
    """It is loaded in every project, so neither the package nor NumPy comes with it before it is used."""
    shutil.copy(ROOT / "tinygrad_cnn" / "testing" / "plugin.py", tmp_path / "_tinygrad_cnn_pytest.py")
    code = (
        "import sys, pytest; before = set(sys.modules); import _tinygrad_cnn_pytest;"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert out.stdout.strip() == "['_tinygrad_cnn_pytest']"


@pytest.mark.usefixtures("registry")
def test_the_report_in_the_docs_is_the_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "test-gradients.md").read_text()
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for match in re.finditer(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(match.group(1), names)
    shown = re.search(r"^```text\n(.*?)\n```", page, re.MULTILINE | re.DOTALL)
    assert shown is not None

    def stable(text: str) -> str:
        """Without the file's name and the example's code, and with fewer digits: those depend on versions."""
        text = re.sub(r" --import \S+| --example \S+", "", text)
        return re.sub(r"-?\d+\.?\d*e-\d+", "0", text)

    assert stable(str(names["report"])) == stable(shown[1])


def test_a_users_file_can_be_run_again_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "my_ops.py"
    file.write_text(
        textwrap.dedent(
            """
            from __future__ import annotations
            import numpy as np
            from tinygrad_cnn.autograd import Array, op
            from tinygrad_cnn.testing import OpSpec, register_op, strategies as ts

            @op
            def cube(x: Array):
                return np.power(x, 3)

            @cube.vjp("x")
            def cube_grad(g, x):
                return g * (2 * x * x)

            register_op(OpSpec(cube, inputs=ts.arrays()))
            """
        )
    )
    command = [sys.executable, "-m", "tinygrad_cnn.testing", "cube", "slopes", "--import", str(file)]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.returncode == 1, out.stderr
    assert "smallest case: cube(array(0.125))" in out.stdout
    line = next(line for line in out.stdout.splitlines() if "reproduce:" in line)
    again = [sys.executable, *line.split("python ")[1].split()]
    assert subprocess.run(again, capture_output=True, text=True, check=False).returncode == 1
