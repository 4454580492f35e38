"""The pytest plugin: `pytest --grad-coverage` prints which properties were asked of which ops, and what came out.

It is active wherever the package is installed. Hypothesis and the battery are imported by the tests that use them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

__all__ = ["pytest_addoption", "pytest_runtest_makereport", "pytest_terminal_summary"]

KEY = "gradient_property"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option `--grad-coverage`."""
    group = parser.getgroup("tinygrad_cnn", "gradient properties")
    group.addoption("--grad-coverage", action="store_true", help="print the matrix of ops and gradient properties")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write into a test's report which property of which op it is about; so xdist's workers send it along."""
    report = yield
    check = getattr(item, "callspec", None) and item.callspec.params.get(KEY)  # type: ignore[attr-defined]
    if check is not None and report.when == "call":
        report.user_properties.append((KEY, [check.spec.name, check.prop.name, check.fast]))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The matrix, if it was asked for."""
    if not config.getoption("--grad-coverage"):
        return
    found: dict[str, dict[str, str]] = {}
    for outcome, mark in (("passed", "+"), ("failed", "F")):
        for report in terminalreporter.getreports(outcome):
            for key, value in getattr(report, "user_properties", ()):
                if key == KEY:
                    name, prop, _ = value
                    cells = found.setdefault(name, {})
                    cells[prop] = "F" if "F" in (mark, cells.get(prop)) else cells.get(prop, "") + mark
    terminalreporter.section("gradient properties")
    if not found:
        terminalreporter.write_line("no test of a gradient property ran; @gradient_properties makes them")
        return
    for line in matrix(found):
        terminalreporter.write_line(line)


def matrix(found: dict[str, dict[str, str]]) -> list[str]:
    """The lines of the matrix op x property: + holds (++ with both kernel sets), F does not, . was not asked."""
    from tinygrad_cnn.testing.properties import PROPERTIES

    columns = [name for name in PROPERTIES if any(name in cells for cells in found.values())]
    heads = [f"{PROPERTIES[name].number}{'k' if name == 'kinks' else ''}" for name in columns]
    width = max(len(name) for name in found)
    lines = [" ".join([" " * width, *(f"{head:>3}" for head in heads)])]
    for name in sorted(found):
        lines.append(" ".join([f"{name:<{width}}", *(f"{found[name].get(column, '.'):>3}" for column in columns)]))
    legend = [f"{head} {name}" for head, name in zip(heads, columns, strict=True)]
    lines += ["", *(", ".join(legend[i : i + 7]) for i in range(0, len(legend), 7))]
    cells = [mark for row in found.values() for mark in row.values()]
    lines.append(f"{len(found)} ops, {len(cells)} properties, {sum('F' in mark for mark in cells)} do not hold")
    return lines
