r"""The numbers that formulas in TeX stand for: what docs/builder/formulas.toml says, computed element by element.

It reads the few signs that those formulas use. `y_{n o i} = b_o + \sum_{c, k} w_{o c k}\;x_{n, c, s i + d k - p}` is
computed as it stands: a letter in a subscript counts through the axis on which it stands alone, and an element outside
an array is 0. A letter without a subscript is the whole array.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.special

WORDS = re.compile(
    r"^\\text|\\text\{(the|or|with|bit|is|in|elsewhere)\b|\\dots *\\(right|end)|\\\{ *\w|\\prod_a|^P\(|@tensor_k"
)
Tree = tuple[Any, ...]  # the kind, then what it is made of

TOKEN = re.compile(
    r"\\(?:begin|end)\{cases\}|\\text\{[^}]*\}|\\mathbf\{\w\}|@[a-z]+(?:_[a-z]{2,})*\d?|\\[A-Za-z]+|\\\\|\\\||\d+(?:\.\d+)?|\S"
)
RELATIONS = {"=": np.equal, "<": np.less, ">": np.greater, r"\le": np.less_equal, r"\ge": np.greater_equal}
RELATIONS |= {r"\ne": np.not_equal}
LOGIC = {r"\wedge": np.logical_and, r"\vee": np.logical_or, r"\text{ or }": np.logical_or, r"\oplus": np.logical_xor}
BIG = {r"\sum": sum, r"\prod": math.prod, r"\max": max, r"\min": min, r"\bigwedge": all, r"\bigvee": any}
FUNCTIONS = {rf"\{name}": getattr(np, name) for name in ("log", "sin", "cos", "tan", "sinh", "cosh", "tanh")}
FUNCTIONS |= {r"\arccos": np.arccos, r"\arcsin": np.arcsin, r"\arctan": np.arctan, r"\text{erf}": scipy.special.erf}
FUNCTIONS |= {r"\text{sign}": np.sign, r"\text{round}": np.round, r"\text{diag}": np.diag}
FUNCTIONS |= {r"\text{softmax}": lambda x: scipy.special.softmax(x, axis=-1)}
PAIRS = {"(": ")", "{": "}", "[": "]", "|": "|", r"\|": r"\|", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
WRAPS = {"|": np.abs, r"\lfloor": np.floor, r"\lceil": np.ceil, "[": lambda x: x * 1.0}
ENDS = {
    *(")", "}", "]", r"\rfloor", r"\rceil"),
    *RELATIONS,
    *LOGIC,
    "+",
    "-",
    ",",
    ":",
    "&",
    "",
    r"\\",
    r"\end{cases}",
    r"\bmod",
}


def statements(tex: str) -> tuple[list[tuple[Tree, Tree]], list[str]]:
    """The equations of a formula, as left and right sides, and the remarks between them that are words or pictures."""
    equations, remarks = [], []
    for part in re.split(r"[,;]\s*\\(?:quad|;)", " ".join(tex.split())):
        part = re.sub(r"^(\s|\\quad|\\;|\\text\{for the mean\})*", "", part)
        if WORDS.search(part) or "=" not in part:
            remarks.append(part)
            continue
        if not part.startswith(r"\mathbf"):  # \mathbf{i} = (i_1, i_2, i_3) says what a bold letter is
            equations += Reader(part).equations()
    return equations, remarks


def joint(*arrays: Any) -> Any:
    """`(a, b)`: numbers or arrays one after the other."""
    return np.concatenate([np.ravel(a) for a in arrays])


class Reader:
    """A reader of one equation, by recursive descent."""

    def __init__(self, tex: str) -> None:
        self.tokens = TOKEN.findall(re.sub(r"(?:\\,|,|\s)*\\dots|\\left|\\right(?![a-z])|\\[,;]|\\quad", " ", tex))
        self.at = 0
        self.bars: list[str] = []  # the open `|`: inside one, the next `|` closes it

    @property
    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.next
        if expected is not None and token != expected:
            raise SyntaxError(f"{token!r} after {' '.join(self.tokens[: self.at])}, expected {expected!r}")
        self.at += 1
        return token

    def equations(self) -> list[tuple[Tree, Tree]]:
        """`a = b`, `a, b = c, d` or `a = b = c`, to the end."""
        left = self.list()
        found = []
        while self.next:
            self.take("=")
            found += zip(left, self.list(), strict=True)
        return found

    def list(self) -> list[Tree]:
        found = [self.joined(self.sum)]
        while self.next == ",":
            self.take()
            found.append(self.joined(self.sum))
        return found

    def logic(self) -> Tree:
        return self.joined(self.relation)

    def joined(self, part: Callable[[], Tree]) -> Tree:
        tree = part()
        while self.next in LOGIC:
            tree = ("call", LOGIC[self.take()], tree, part())
        return tree

    def relation(self) -> Tree:
        tree = left = self.sum()
        links = []
        while self.next in RELATIONS:
            function, right = RELATIONS[self.take()], self.sum()
            links.append(("call", function, left, right))
            left = right
        for i, link in enumerate(links):
            tree = ("call", np.logical_and, tree, link) if i else link
        return tree

    def sum(self) -> Tree:
        tree = self.product()
        while self.next in ("+", "-", r"\bmod"):
            function = {"+": np.add, "-": np.subtract, r"\bmod": np.mod}[self.take()]
            tree = ("call", function, tree, self.product())
        return tree

    def product(self) -> Tree:
        if self.next == "-":
            self.take()
            return ("call", np.negative, self.product())
        tree = self.factor()
        while not self.ended():
            sign = self.take() if self.next in ("/", r"\cdot", r"\odot") else ""
            tree = ("call", np.divide, tree, self.factor()) if sign == "/" else ("times", sign, tree, self.factor())
        return tree

    def ended(self) -> bool:
        """Whether a product is at its end."""
        return self.next in ENDS or (self.next in ("|", r"\|") and self.next in self.bars[-1:])

    def factor(self) -> Tree:
        tree = self.primary()
        while self.next in ("_", "^"):
            if self.take() == "_":
                tree = ("index", tree, self.subscript())
            elif self.next == "T":
                self.take()
                tree = ("call", lambda x: np.swapaxes(x, -1, -2), tree)
            elif self.tokens[self.at : self.at + 2] == ["{", "("]:  # one of several arguments
                tree = ("index", tree, self.subscript())
            else:
                tree = ("call", np.power, tree, self.primary())
        return tree

    def subscript(self) -> tuple[Tree, ...]:
        """The positions of a subscript: between commas, or letters side by side."""
        if self.next != "{":
            return (self.primary(),)
        self.take()
        start = self.at
        found = [self.factor()]
        while not self.ended():
            found.append(self.factor())
        if self.next != "}":
            self.at = start
            found = self.list()
        self.take("}")
        return tuple(found)

    def binder(self) -> tuple[tuple[str, ...], tuple[Tree, ...]]:
        r"""The letters of `\sum_{j \le i, k}` and the conditions on them."""
        if self.next != "_":
            return (), ()
        self.take()
        if self.next != "{":
            return (self.take(),), ()
        letters: dict[str, None] = {}
        conditions: list[Tree] = []
        bound = False
        while self.take() != "}":
            tree = self.relation()
            if not bound:
                letters[next(names_in(tree))] = None
            if tree[0] == "call":
                conditions.append(tree)
            bound = self.next == ":"
        if self.next == "^":  # `_{l = 0}^{k - 1}`: as far as it counts
            self.take()
            self.primary()
            return tuple(letters), ()
        return tuple(letters), tuple(conditions)

    def primary(self) -> Tree:
        token = self.take()
        if token in BIG and not (token in (r"\max", r"\min") and self.next == "("):
            letters, conditions = self.binder()
            body = self.relation() if BIG[token] in (all, any) else self.product()
            return ("big", BIG[token], letters, conditions, body)
        if token in (r"\max", r"\min"):
            self.take("(")
            first, second = self.list()
            self.take(")")
            return ("call", np.maximum if token == r"\max" else np.minimum, first, second)
        if token in FUNCTIONS and self.next not in (*ENDS, "_"):
            power = (self.take(), self.primary())[1] if self.next == "^" else ("number", 1)
            return ("call", np.power, ("call", FUNCTIONS[token], self.factor()), power)
        if token == r"\frac":
            return ("call", np.divide, self.primary(), self.primary())
        if token == r"\sqrt":
            return ("call", np.sqrt, self.primary())
        if token == r"\begin{cases}":
            rows = []
            while self.next != r"\end{cases}":
                value = self.logic()
                self.take("&")
                if self.next == r"\text{else}":
                    self.take()
                    rows.append((("number", True), value))
                else:
                    rows.append((self.logic(), value))
                self.at += self.next == r"\\"
            self.take()
            return ("cases", *rows)
        if token in PAIRS:
            self.bars.append(token)
            inner = self.logic()
            while self.next == ",":
                self.take()
                inner = ("call", joint, inner, self.sum())
            self.bars.pop()
            self.take(PAIRS[token])
            if token == r"\|":
                power = (self.take(), self.primary())[1] if self.next == "_" else ("number", 2)
                return ("call", lambda x, p: np.linalg.norm(x, float(p)), inner, power)
            if token == "[" and (
                any(joint in side for side in inner if isinstance(side, tuple))
                or any(name.startswith(r"\mathbf") for name in names_in(inner))
            ):
                return ("call", np.all, inner)
            return ("call", WRAPS[token], inner) if token in WRAPS else inner
        if token == r"\bar":
            inner = self.primary()
            return ("name", f"bar {inner[1]}")
        if re.fullmatch(r"\d.*", token):
            return ("number", float(token) if "." in token else int(token))
        if token == r"\infty":
            return ("number", math.inf)
        if re.fullmatch(r"[A-Za-z]|@\w+|\\mathbf\{\w\}|\\[A-Za-z]+|\\text\{[^}]*\}", token):
            if self.next == "(" and token in (r"\sigma", r"\Phi", "u"):
                self.take()
                argument = self.sum()
                self.take(")")
                return ("apply", ("name", token), (argument,))
            return ("name", token)
        raise SyntaxError(f"{token!r} in {' '.join(self.tokens)}")


class Numbers:
    """The values of letters, and those that formulas define; `ranges` has the lengths that no axis tells."""

    def __init__(self, values: Mapping[str, Any], ranges: Mapping[str, int], matrices: bool) -> None:
        self.values = {"e": math.e, r"\pi": math.pi, **values}
        self.ranges, self.matrices = ranges, matrices
        self.defined: dict[str, tuple[list[str], Tree]] = {}

    def subject(self, left: Tree) -> str:
        """What the left side of an equation is about: `y`, `bar x`, `bar x_1`."""
        names = list(names_in(left))
        numbered = f"{names[0]}_{left[2][0][1]}" if left[0] == "index" else ""
        return numbered if numbered in self.values else names[0]

    def define(self, left: Tree, right: Tree) -> None:
        """Take an equation as what its left side means: `d = ...`, `p_{n c} = ...` or `u(d) = ...`."""
        name, letters = (left, ()) if left[0] == "name" else left[1:]
        self.defined[name[1]] = ([letter[1] for letter in letters], right)

    def holds(self, left: Tree, right: Tree) -> bool:
        """Whether an equation is true, and tells each element of the array on its left side."""
        if left[0] != "index":
            return bool(np.allclose(self.value(left, {}), self.value(right, {}), equal_nan=True))
        array, subs = self.base(left, {})
        told = np.zeros(np.shape(array), bool)
        names = [name for sub in subs for name in names_in(sub) if name not in self.values and name not in self.defined]
        for env in self.counted(tuple(dict.fromkeys(names)), (left, right), {}):
            place = self.place(subs, env)
            if all(0 <= i < n for i, n in zip(place, told.shape, strict=False)):
                told[place] = True
                if not np.allclose(array[place], self.value(right, env), equal_nan=True):
                    return False
        return bool(told.all())

    def value(self, tree: Tree, env: Mapping[str, Any]) -> Any:
        """The value of an expression, where letters that count stand for what `env` says."""
        kind, *parts = tree
        if kind == "number":
            return parts[0]
        if kind == "name":
            return env[parts[0]] if parts[0] in env else self.named(parts[0], env)
        if kind == "index":
            return self.element(tree, env)
        if kind == "cases":
            found: Any = 0.0
            for condition, value in reversed(parts):
                found = np.where(self.value(condition, env), self.value(value, env), found)
            return found
        if kind == "big":
            function, letters, conditions, body = parts
            if not letters:
                return np.sum(self.value(body, env))
            counted = self.counted(letters, (body, *conditions), env)
            return function([self.value(body, e) for e in counted if all(self.value(c, e) for c in conditions)])
        if kind == "apply":
            (letter,), body = self.defined[parts[0][1]]
            return self.value(body, {**env, letter: self.value(parts[1][0], env)})
        if kind == "call":
            values = [np.asarray(self.value(argument, env)) for argument in parts[1:]]
            with np.errstate(all="ignore"):
                return parts[0](*(v * 1.0 if parts[0] is np.power else v for v in values))
        sign, left, right = parts
        b = np.asarray(self.value(right, env))
        if b.ndim == 0 and b == 0:
            return 0.0  # `x [...]` where the bracket is 0: most terms of a sum, which need not be computed
        a = np.asarray(self.value(left, env))
        return a @ b if sign == r"\cdot" or (self.matrices and a.ndim and b.ndim and not sign) else a * b

    def named(self, name: str, env: Mapping[str, Any]) -> Any:
        """The value of a letter that does not count; one that is defined element by element is the array of them."""
        letters, body = self.defined.get(name, ([], ()))
        if not letters:
            return self.value(body, env) if body else self.values[name]
        found = [
            (self.place(tuple(("name", n) for n in letters), e), self.value(body, e))
            for e in self.counted(tuple(letters), (body,), {})
        ]
        array = np.zeros(np.array(found[-1][0]) + 1)
        for place, value in found:
            array[place] = value
        return array

    def base(self, tree: Tree, env: Mapping[str, Any]) -> tuple[Any, tuple[Tree, ...]]:
        """The array that has a subscript, and the positions in it. `x_{1 i}` is the element i of `x_1`."""
        _, array, subs = tree
        if array[0] == "name" and subs[0][0] == "number" and (name := f"{array[1]}_{subs[0][1]}") in self.values:
            array, subs = ("name", name), subs[1:]
        if array[0] == "index":  # x^{(k)}_i
            return self.base(array, env)[0], (*array[2], *subs)
        return self.value(array, env), subs

    def place(self, subs: tuple[Tree, ...], env: Mapping[str, Any]) -> tuple[int, ...]:
        """The position that subscripts name; a bold letter has several coordinates."""
        return tuple(int(i) for sub in subs for i in np.ravel(self.value(sub, env)))

    def element(self, tree: Tree, env: Mapping[str, Any]) -> Any:
        """The element, or the row, that subscripts name; 0 outside the array."""
        _, array, subs = tree
        if array[0] == "name" and array[1] in self.defined and (letters := self.defined[array[1]][0]):
            places = [self.value(sub, env) for sub in subs]
            return self.value(self.defined[array[1]][1], {**env, **dict(zip(letters, places, strict=True))})
        array, subs = self.base(tree, env)
        for i in self.place(subs, env) if np.ndim(array) else ():
            if not 0 <= i < len(array):
                return 0.0
            array = array[i]
        return array

    def counted(
        self, letters: tuple[str, ...], trees: tuple[Tree, ...], env: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """`env` with each value of the letters in turn."""
        ranges = []
        for letter in letters:
            length = next((n for tree in trees for n in self.lengths(letter, tree, env)), None)
            length = self.ranges.get(letter, length)
            if length is None:
                raise LookupError(f"no axis tells how far {letter} counts")
            bold = letter.startswith(r"\mathbf")
            ranges.append([np.array(i) for i in np.ndindex(*length)] if bold else range(length))
        for values in itertools.product(*ranges):
            yield {**env, **dict(zip(letters, values, strict=True))}

    def lengths(self, letter: str, tree: Tree, env: Mapping[str, Any]) -> Iterator[Any]:
        """The lengths of the axes through which a letter counts in an expression."""
        for part in tree:
            if isinstance(part, tuple):
                yield from self.lengths(letter, part, env)
        if tree[0] == "name" and tree[1] in self.defined:
            yield from self.lengths(letter, self.defined[tree[1]][1], env)
        if tree[0] != "index" or ("name", letter) not in tree[2]:
            return
        if tree[1][0] == "name" and tree[1][1] in self.defined and (letters := self.defined[tree[1][1]][0]):
            inner = letters[tree[2].index(("name", letter))]
            yield from self.lengths(inner, self.defined[tree[1][1]][1], env)
            return
        array, subs = self.base(tree, env)
        before, shape = subs.index(("name", letter)), np.shape(array)
        after = len(subs) - before - 1
        if letter.startswith(r"\mathbf"):
            yield shape[before : len(shape) - after]
        elif before < len(shape) and not any("mathbf" in str(sub) for sub in subs[:before]):
            yield shape[before]


def names_in(tree: Tree) -> Iterator[str]:
    """The letters of an expression."""
    if tree[0] == "name":
        yield tree[1]
    for part in tree:
        if isinstance(part, tuple):
            yield from names_in(part)
