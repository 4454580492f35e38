"""Gradient rules, and how each is given what it names: once for all nodes of an op that need the same gradients.

A rule is a function of the incoming gradient and of what it names: arguments of the op, its result, shapes, parameters.
`Plan` tells what a node is to save for the rules that will run, `Reading` how a rule gets its part of that.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_cnn import locks

if TYPE_CHECKING:
    from tinygrad_cnn.recording import Node, Op

__all__ = ["Plan", "Reading", "Rule"]


class Rule:
    """A gradient rule, and the names of what it wants besides the incoming gradient."""

    def __init__(self, function: Callable[..., Any], known: set[str], op: str) -> None:
        self.function = function
        self.names = tuple(inspect.signature(function).parameters)[1:]
        self.foreign = locks.is_foreign(function)
        if unknown := set(self.names) - known:
            raise TypeError(f"{op}: the rule {function.__name__} names {sorted(unknown)}, the op knows {sorted(known)}")


class Plan:
    """What an op does whenever the same arguments require grad; worked out once, then shared by all its nodes.

    Of what backward will want, `others` names what is no array argument, such as the result; `saved` takes its part
    of the array arguments, with those others after the last of them; `shapes` numbers those whose shapes are wanted.
    `positions` tells where each name's value stands in a node's `values`. `wants` tells which arguments get a gradient,
    `rules` holds the rules of those, each with the number of its argument, `fused` is the shortcut's.
    """

    __slots__ = ("fused", "others", "positions", "rules", "saved", "shapes", "wants")

    def __init__(self, op: Op[Any], needs: int, count: int) -> None:
        """Of calls with `count` arguments, of which those in the bit mask `needs` require grad."""
        self.wants = tuple(bool(needs >> i & 1) for i in range(count))
        rules = [(i, op.rule_of(i)) for i in range(count) if self.wants[i]]
        wanted = {name for rule in (op.fused, *[rule for _, rule in rules]) if rule for name in rule.names}
        unsaved = {*op.statics, "needs", *(["index"] if op.variadic else [])}
        places = {} if op.variadic else op.places
        of_shape = {f"{name}_shape": i for name, i in places.items() if f"{name}_shape" not in op.statics}
        arrays = sorted(wanted & places.keys())
        shapes = sorted(wanted & of_shape.keys())
        self.others = sorted(wanted - {*arrays, *shapes, *unsaved})
        saved = [*[places[name] for name in arrays], *range(count, count + len(self.others))]
        self.saved = _getter(saved) if saved else None
        self.shapes = [of_shape[name] for name in shapes]
        self.positions = {name: k for k, name in enumerate([*shapes, *arrays, *self.others])}
        self.fused = None if op.fused is None else Reading(op.fused, self.positions, op.statics)
        self.rules = [(i, Reading(rule, self.positions, op.statics)) for i, rule in rules]


class Reading:
    """A rule, and how it is given what it names, of the nodes of one plan.

    `saved` gives its part of a node's values; if it wants no more than these, and is no foreign code, it is `plain`.
    Else `static` gives its part of the parameters, and `order` puts in order what both gave and the caller's `extra`:
    what no node knows, the `index` of the argument or, for a shortcut, the arguments that `needs` tells of.
    """

    __slots__ = ("function", "order", "plain", "rule", "saved", "static")

    def __init__(self, rule: Rule, positions: dict[str, int], statics: Sequence[str]) -> None:
        saved = [name for name in rule.names if name in positions]
        static = [name for name in rule.names if name in statics]
        known = [*saved, *static]
        self.rule, self.function = rule, rule.function
        self.saved = _getter([positions[name] for name in saved])
        self.static = _getter(static)
        self.order = _getter([known.index(name) if name in known else len(known) for name in rule.names])
        self.plain = len(saved) == len(rule.names) and not rule.foreign

    def arguments(self, node: Node, extra: Any) -> Sequence[Any]:
        """What the rule names, in its order."""
        return self.order((*self.saved(node.values), *self.static(node.params), extra))


def _getter(keys: list[Any]) -> Callable[[Any], Sequence[Any]]:
    """As `operator.itemgetter`, but it gives a sequence also for one key and for none."""
    if len(keys) > 1:
        return operator.itemgetter(*keys)
    if keys and type(keys[0]) is int:  # of a list
        return operator.itemgetter(slice(keys[0], keys[0] + 1))
    return (lambda known: (known[keys[0]],)) if keys else lambda _: ()
