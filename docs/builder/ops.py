"""The pages of the ops: one a family, written from the ops themselves.

What an op computes is its docstring and a formula, its gradient is formulas and the source of its rules, its ties are
the rows of docs/ties-and-kinks.md that name it, and its picture is the graph of the example in its docstring (or, where
that has none, of a small call that the gradient tests make). An op without one of these stops the build.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import fnmatch
import importlib
import inspect
import io
import math
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np

import tinygrad_cnn as tg
from builder.formulas import Formulas, formulas_of
from builder.markdown import cell, described, docstring, first_sentence, parameters
from builder.pictures import Pictures
from tinygrad_cnn import nn, ops
from tinygrad_cnn.autograd import Op
from tinygrad_cnn.graph import Graph
from tinygrad_cnn.testing import OpSpec, registered
from tinygrad_cnn.testing.sample import Sample, as_sample

DOCS = Path(__file__).parent.parent
VARIADIC = inspect.Parameter.VAR_POSITIONAL
PUBLIC = {"tinygrad_cnn": tg, "tinygrad_cnn.ops": ops, "tinygrad_cnn.linalg": tg.linalg}
Rows = list[tuple[str, str, str]]
TITLES = {
    "activation": "Activations",
    "comparison": "Comparisons and logic",
    "conv": "Convolutions",
    "elementwise": "Element by element",
    "index": "Indexing",
    "linalg": "Norms and singular values",
    "linear": "Products of matrices",
    "loss": "Losses",
    "norm": "Normalisation",
    "pool": "Pooling",
    "recording": "What the engine uses",
    "reduce": "Reductions",
    "shape": "Shapes",
    "trigonometry": "Trigonometry",
}
FILES = {"index": "indexing"}  # index.md is the first page of a folder

INTRODUCTION = """# The ops

The {count} functions that models are made of, by family. For each: what it computes, with shapes, an example and a
formula; its gradient, as formulas and as the code that runs; what it does at ties and kinks, if it has some; and the
graph of the example, on which dashed edges are gradients (of a gradient of ones at the output).

In the formulas, $[\\dots]$ is 1 where what stands in it is true and 0 elsewhere, and $\\bar{{x}}$ is the gradient that
$x$ gets. What an argument that was broadcast gets is summed back to its shape.

These pages are written by the build from the ops themselves. `tinygrad_cnn.NAME` and `tinygrad_cnn.ops.NAME` are the
same function. An op is one kernel with gradient rules; a function made of ops has none of its own, and needs none.
"""

INNER = """## What gradients are made of

These ops are nobody's to call, as a rule: the gradient rules above are made of them. They have rules themselves, so
that gradients of gradients exist.
"""


@dataclass(frozen=True)
class Entry:
    """One op or function of ops: its name, itself, and the file of ops that it stands in."""

    name: str
    function: Any
    family: str

    @property
    def call(self) -> Callable[..., Any]:
        """The plain function behind it, for its signature and its docstring."""
        return self.function.kernel if isinstance(self.function, Op) else inspect.unwrap(self.function)

    @property
    def public(self) -> bool:
        """Whether users call it by this name; the others are what gradient rules are made of."""
        return self.home != self.call.__module__ or self.name in tg.linalg.__all__

    @property
    def home(self) -> str:
        """The module under which it is documented: the shortest way to it."""
        ways = (
            name
            for name, room in PUBLIC.items()
            if self.name in room.__all__ and getattr(room, self.name) is self.function
        )
        return next(ways, self.call.__module__)


def families() -> dict[str, list[Entry]]:
    """All ops and functions of ops by family: the public ones in the order of the alphabet, then the others."""
    rooms = [f"tinygrad_cnn.ops.{module.name}" for module in pkgutil.iter_modules(ops.__path__)]
    found = {}
    for name in (*rooms, "tinygrad_cnn.linalg", "tinygrad_cnn.recording"):
        room = importlib.import_module(name)
        family = name.rpartition(".")[2]
        functions = {n: getattr(room, n) for n in sorted(room.__all__)}
        functions |= {op.name: op for op in vars(room).values() if isinstance(op, Op) and op.name not in functions}
        entries = [Entry(n, function, family) for n, function in functions.items() if callable(function)]
        entries = [entry for entry in entries if entry.call.__module__ == name]
        if family == "recording":  # the engine's classes and decorators are in the reference
            entries = [entry for entry in entries if isinstance(entry.function, Op)]
        found[family] = sorted(entries, key=lambda entry: (not entry.public, entry.name))
    return found


# ---- a call to draw ----------------------------------------------------------------------------------------


def example_of(entry: Entry) -> Sample | None:
    """The call of the entry in its own doctest, with the values of its arguments."""
    names: dict[str, Any] = dict(vars(importlib.import_module(entry.call.__module__)))
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(entry.function) or ""):
        tree = ast.parse(example.source)
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and _is(call.func, entry, names):
                args = [_value(a, names) for a in call.args]
                return Sample(tuple(args), {k.arg: _value(k.value, names) for k in call.keywords if k.arg})
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(tree, entry.name, "exec"), names)
    return None


def _is(node: ast.expr, entry: Entry, names: dict[str, Any]) -> bool:
    """Whether an expression is the entry: `tg.relu`, `F.relu` or `relu`."""
    if not isinstance(node, ast.Attribute | ast.Name):
        return False
    try:
        return _value(node, names) is entry.function
    except (AttributeError, NameError):
        return False


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "example", "eval"), names)


def sample_of(spec: OpSpec) -> Sample:
    """Of a few calls that the gradient tests would make, the one that is best to look at: small, but not tiny."""
    samples: list[Sample] = []

    @hypothesis.settings(
        max_examples=20,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(spec.inputs)
    def collect(drawn: Any) -> None:
        samples.append(as_sample(drawn))

    collect()
    return min(samples, key=lambda s: abs(math.log((1 + sum(a.size for a in s.arrays.values())) / 40)))


def graph_of(entry: Entry, sample: Sample) -> Graph | None:
    """The graph of one call with its gradients; None if it returns no Tensor.

    The arrays in it are named after their arguments, also those in a list; float ones ask for gradients.
    """
    parameters = list(inspect.signature(entry.call).parameters.values())
    named: dict[str, np.ndarray[Any, Any]] = {}

    several = next((i for i, p in enumerate(parameters) if p.kind is VARIADIC), len(parameters))

    def name_of(place: int) -> str:
        return parameters[place].name if place < several else f"{parameters[several].name}[{place - several}]"

    def holes(value: Any, name: str) -> Any:
        """The value with a hole for each array in it."""
        if isinstance(value, np.ndarray | tg.Tensor):
            named[name] = value.array if isinstance(value, tg.Tensor) else value
            return Hole(name)
        if isinstance(value, list | tuple):
            return type(value)(holes(v, f"{name}[{i}]") for i, v in enumerate(value))
        return value

    args = [holes(value, name_of(i)) for i, value in enumerate(sample.args)]
    kwargs = {key: holes(value, key) for key, value in sample.kwargs.items()}

    def call(**given: Any) -> Any:
        return entry.function(
            *(filled(a, given) for a in args), **{key: filled(value, given) for key, value in kwargs.items()}
        )

    tensors = {name: tg.Tensor(a).requires_grad_(a.dtype.kind == "f") for name, a in named.items()}
    out = call(**tensors)
    if not isinstance(out, tg.Tensor) and not (isinstance(out, tuple | list) and isinstance(out[0], tg.Tensor)):
        return None
    graph = tg.graph.capture(call, title=entry.name, **tensors)
    first = out if isinstance(out, tg.Tensor) else out[0]
    return graph.run().backward(tg.ones_like(first)).graph if first.requires_grad else graph


@dataclass(frozen=True)
class Hole:
    """The place of an array in the arguments of a call."""

    name: str


def filled(value: Any, given: dict[str, Any]) -> Any:
    """A value of an argument with the arrays in its holes."""
    if isinstance(value, Hole):
        return given[value.name]
    return type(value)(filled(v, given) for v in value) if isinstance(value, list | tuple) else value


# ---- what a page says of an op -----------------------------------------------------------------------------


def ties() -> Rows:
    """The rows of docs/ties-and-kinks.md: op, where, gradient."""
    lines = (DOCS / "ties-and-kinks.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return [(row[0], row[1], row[2]) for row in rows]


def ties_of(name: str, rows: Rows) -> Rows:
    """The rows that name an op: as `name`, `name(...)`, `prefix*`, or as the operator."""
    found: Rows = []
    for row in rows:
        for quoted in re.findall(r"`([^`]+)`", row[0]):
            pattern = {"x ** 0.5": "pow", "x ** 0": "pow"}.get(quoted, re.sub(r"\(.*", "", quoted))
            if fnmatch.fnmatchcase(name, pattern) and row not in found:
                found.append(row)
    return found


def gradient_of(entry: Entry, graph: Graph | None, homes: dict[str, str], gradients: tuple[str, ...]) -> Iterator[str]:
    """The gradient: its formulas, and the source of the rules, or the ops that a function is made of."""
    function = entry.function
    if not isinstance(function, Op):
        names = dict.fromkeys(node.name for node in graph.ops if node.name in homes) if graph else {}
        made = ", ".join(f"`{n}`" if n == entry.name else f"{{py:func}}`{n} <{homes[n]}>`" for n in names)
        if gradients:
            yield "**Gradient.**"
            yield from gradients
            yield f"It comes about as that of the ops that it is made of{f', in this call {made}' if made else ''}:"
        else:
            yield "**Gradient.** None: its result carries no gradient. What it is made of:"
        yield code(inspect.unwrap(function), doc=False)
        if gradients and entry.name in names:  # the op inside has the function's name, and no section of its own
            yield f"The gradient of the op `{entry.name}` itself; `g` is that of the result."
            yield from rules_of(registered()[entry.name].op)
        return
    if not function.differentiable:
        yield "**Gradient.** None: its result carries no gradient."
        return
    note = " Its arguments broadcast; what they get is summed back to their shapes." if function.broadcasts else ""
    yield f"**Gradient.**{note}"
    yield from gradients
    yield from rules_of(function)


def check_gradients(entry: Entry, graph: Graph | None, formulas: Formulas) -> None:
    """LookupError unless each rule of an op, or what a function sends back in its graph, has a formula."""
    op, has = entry.function, len(formulas.gradients)
    wanted = len(op.rules) if isinstance(op, Op) else int(graph is not None and any(n.tracked for n in graph.ops))
    if has < wanted or (isinstance(op, Op) and has > wanted):
        raise LookupError(f"{entry.name} has {has} gradients in docs/builder/formulas.toml, expected {wanted}")


def rules_of(op: Op[Any]) -> Iterator[str]:
    """The source of an op's gradient rules; one that serves several arguments is shown once."""
    shared: dict[Callable[..., Any], list[str]] = {}
    for argument, rule in op.rules.items():
        shared.setdefault(rule.function, []).append(argument)
    for rule_function, arguments in shared.items():
        yield f"For {', '.join(f'`{a}`' for a in arguments)}:"
        yield code(rule_function)


def code(function: Callable[..., Any], doc: bool = True) -> str:
    """The source of a function; without its docstring where that is shown already."""
    text = textwrap.dedent(inspect.getsource(function)).rstrip()
    if not doc and function.__doc__:
        text = re.sub(r'\n +r?""".*?"""(?=\n)', "", text, count=1, flags=re.DOTALL)
    return f"```python\n{text}\n```"


def is_in(room: Any, entry: Entry) -> bool:
    """Whether a module or class has the entry under its own name."""
    return inspect.unwrap(getattr(room, entry.name, None)) is inspect.unwrap(entry.call)  # type: ignore[arg-type]


def entry_text(entry: Entry, homes: dict[str, str], rows: Rows, pictures: Pictures) -> str:
    """The section of one op."""
    spec = registered().get(entry.name)
    sample, source = example_of(entry), "the example above"
    if sample is None and spec is not None:
        sample, source = sample_of(spec), "a call that the gradient tests make"
    if sample is None and entry.public:
        raise LookupError(f"{entry.name} has no example in its docstring that calls it, and no row of samples")
    graph = None if sample is None else graph_of(entry, sample)
    if graph is not None and not graph.ops and spec is not None:  # the example shows that nothing happens
        graph, source = graph_of(entry, sample_of(spec)), "a call that the gradient tests make"
    text = docstring(entry.call.__doc__, parameters(entry.call))
    parts = [f"## {entry.name}", described("function", entry.name, text, entry.call, f":module: {entry.home}")]
    rooms = {"nn.functional": nn.functional, "Tensor": tg.Tensor}
    places = [f"`{where}.{entry.name}`" for where, room in rooms.items() if entry.public and is_in(room, entry)]
    if places:
        parts.append(f"Also as {' and '.join(places)}.")
    formulas = formulas_of(entry.family, entry.name, parameters(entry.call))
    check_gradients(entry, graph, formulas)
    parts += ["**Formula.**", formulas.forward, f"{formulas.legend}."]
    parts += gradient_of(entry, graph, homes, formulas.gradients)
    found = ties_of(entry.name, rows) if entry.public else []
    if found:
        listed = "; ".join(f"{where or 'always'}: {gradient}" for _, where, gradient in found)
        parts.append(f"**Ties and kinks.** {listed} ([the whole table](../ties-and-kinks.md)).")
    elif entry.public and spec is not None and spec.kinks is not None:
        raise LookupError(f"{entry.name} is tested on kinks, and docs/ties-and-kinks.md has no row that names it")
    if graph is not None and graph.ops:  # without one, nothing is recorded
        parts += [f"**Graph** of {source}:", pictures.add(entry.name, graph)]
    return "\n\n".join(parts) + "\n"


def write_pages(folder: Path, pictures: Callable[[str], Pictures]) -> None:
    """Write ops/index.md and a page for each family into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found, rows = families(), ties()
    homes = {
        e.name: f"{e.home}.{e.name}" for entries in found.values() for e in entries if e.function is not tg.linalg.norm
    }
    count = sum(entry.public for entries in found.values() for entry in entries)
    pages: dict[str, tuple[str, Pictures]] = {}
    index = [INTRODUCTION.format(count=count)]
    for family, entries in found.items():
        file = FILES.get(family, family)
        drawn = pictures(f"ops/{file}")
        public = [entry for entry in entries if entry.public]
        inner = [entry for entry in entries if not entry.public]
        page = [f"# {TITLES[family]}\n\n{docstring(importlib.import_module(entries[0].call.__module__).__doc__)}\n"]
        page += [entry_text(entry, homes, rows, drawn) for entry in public]
        if inner:
            page.append(INNER)
        page += [entry_text(entry, homes, rows, drawn) for entry in inner]
        pages[file] = "\n".join(page), drawn
        index += [f"## [{TITLES[family]}]({file}.md)\n\n| op | what it computes |\n|---|---|"]
        index += [
            f"| {{py:func}}`{e.name} <{e.home}.{e.name}>` | {cell(first_sentence(e.call.__doc__))} |" for e in public
        ]
        index.append("")
    index.append("```{toctree}\n:hidden:\n\n" + "\n".join(FILES.get(family, family) for family in found) + "\n```\n")
    (folder / "index.md").write_text("\n".join(index))
    for file, (text, drawn) in pages.items():
        (folder / f"{file}.md").write_text(drawn.shown_in(text))
