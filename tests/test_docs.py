"""The code in the README and in docs/ runs, each page in a folder of its own, and prints what the page says."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))
from builder import blocks, formulas, markdown, ops, readme  # noqa: E402  (the build of the documentation uses these)

import tinygrad_cnn as tg  # noqa: E402  (as all imports below the path)
from tinygrad_cnn import testing  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks.blocks(p)], ids=lambda p: p.name)
def test_code_runs_and_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    blocks.run_page(page, tmp_path)
    for target in links(page):
        assert (page.parent / target).exists() or (tmp_path / target).exists(), f"{page.name} links to {target}"


def links(page: Path) -> list[str]:
    """The files that a page links to or shows, as it names them; the generated pages aside."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    return [t for t in found if "://" not in t and not t.startswith(("ops/", "api/"))]


@pytest.mark.parametrize("page", [p for p in PAGES if not blocks.blocks(p)], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [p for p in PAGES[1:] if p.name != "index.md"], ids=lambda p: p.name)
def test_every_page_is_named_where_people_begin(page: Path) -> None:
    front = (ROOT / "docs/index.md").read_text()
    assert f"]({page.name})" in front
    assert f"\n{page.stem}\n" in front  # in the site's menu
    assert f"](docs/{page.name})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_block_of_code_is_of_a_kind_that_runs(page: Path) -> None:
    kinds = re.findall(r"^```(\S*)[^`\n]*\n.*?^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    shown = {"python", "sh", "output", "text", "{toctree}", "{source}", "{math}"}
    assert set(kinds) <= shown, f"{page.name} has blocks that no test runs: {set(kinds) - shown}"


def test_a_wrong_output_and_a_failing_command_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for text, message in [
        ("```python\nprint(1 + 1)\n```\n\n```output\n3\n```\n", "page.md:6 shows another output"),
        ("```sh\nexit 3\n```\n", "page.md:2 ends with 3"),
    ]:
        page.write_text(text)
        with pytest.raises(AssertionError, match=message):
            blocks.run_page(page, tmp_path)
    page.write_text(
        "```python\nprint(1 + 1)\n```\n\n```output\n2\n```\n\n<!-- not run: a test -->\n```sh\nexit 3\n```\n"
    )
    blocks.run_page(page, tmp_path)


def test_the_readme_has_the_two_commands() -> None:
    commands = re.findall(r"^```sh\n(.*?)\n```", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert "tinygrad-cnn train" in commands[0]
    assert "-m pytest" in commands[1]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_readmes_picture_is_current(tmp_path: Path) -> None:
    readme.draw(tmp_path)
    for picture in ("seed.svg", "seed-dark.svg"):
        current = (tmp_path / picture).read_bytes() == (readme.PICTURES / picture).read_bytes()
        assert current, "docs/pictures is not what the code draws: PYTHONPATH=. python docs/builder/readme.py"


FAMILIES = ops.families()


def test_every_op_has_its_place_on_a_page() -> None:
    shown = {id(function) for entries in FAMILIES.values() for e in entries for function in (e.function, e.call)}
    names = {e.name for entries in FAMILIES.values() for e in entries}
    for name, spec in testing.registered().items():
        if getattr(spec.op, "__module__", "").startswith("tinygrad_cnn"):
            assert id(spec.op) in shown or name in names, name


class NoPictures:
    """Stands for the pictures of a page, and draws none."""

    def add(self, name: str, graph: object) -> str:
        return f"<picture of {name}: {graph!r}>"


@pytest.mark.parametrize("family", FAMILIES)
def test_each_op_has_what_its_section_says(family: str) -> None:
    """Its text and formulas, how its gradient comes about, the rules at ties if it has some, and a graph to draw."""
    homes = {e.name: f"{e.home}.{e.name}" for entries in FAMILIES.values() for e in entries}
    for entry in FAMILIES[family]:
        text = ops.entry_text(entry, homes, ops.ties(), NoPictures())
        assert "**Formula.**" in text
        assert "**Gradient.**" in text
        assert not re.search(r"`g` is that of the result\.(?!\n\nFor )", text), "no rule follows"
        pictured = f"<picture of {entry.name}: <Graph {entry.name}: " in text
        if entry.public:  # two give Python's bool, and two are recorded as no op
            assert pictured == (entry.name not in ("allclose", "equal", "bincount", "unique"))


@pytest.mark.parametrize(
    ("family", "name", "inputs"),
    [
        ("shape", "meshgrid", ["tensors[0]", "tensors[1]"]),
        ("linear", "einsum", ["operands[0]", "operands[1]"]),
        ("shape", "cat", ["tensors[0]", "tensors[1]"]),
        ("activation", "prelu", ["input", "weight"]),
    ],
)
def test_an_op_is_drawn_with_the_names_of_its_arguments(family: str, name: str, inputs: list[str]) -> None:
    entry = next(e for e in FAMILIES[family] if e.name == name)
    sample = ops.example_of(entry)
    assert sample is not None
    graph = ops.graph_of(entry, sample)
    assert graph is not None
    assert sorted(node.name for node in graph.of_kind("input")) == inputs


def test_every_formula_belongs_to_an_op_and_is_all_tex_that_a_browser_gets_as_mathml() -> None:
    for family, rows in formulas.TABLE.items():
        assert set(rows) == {entry.name for entry in FAMILIES[family]}
        for name, lines in rows.items():
            shown = "".join(formulas.shown(tex) for tex in lines)
            assert not {"\\", "@", "\n"} & set(shown), f"{name}: {shown}"


def test_signatures_show_the_types_and_not_the_names_that_tensor_py_has_for_them() -> None:
    assert markdown.signature(tg.Tensor.item) == "() -> int | float | bool"
    assert markdown.signature(tg.Tensor) == "(data: Any = (), *lengths: int)"


def test_a_function_in_a_formula_stands_apart_from_what_is_around_it() -> None:
    assert formulas.spaced(r"-g \sin x") == r"-g\, \sin\,x"
    assert formulas.spaced(r"\frac{\log x}{\log 10}") == r"\frac{\log\,x}{\log\,10}"
    assert formulas.spaced(r"x \tanh(s) - \tanh^2(s)") == r"x\, \tanh(s) - \tanh^2(s)"
    assert formulas.spaced(r"\sinh x") == r"\sinh\,x"


def test_an_op_without_a_formula_or_with_too_few_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    homes = {e.name: f"{e.home}.{e.name}" for entries in FAMILIES.values() for e in entries}
    mul = next(entry for entry in FAMILIES["elementwise"] if entry.name == "mul")
    whole = formulas.TABLE["elementwise"]["mul"]
    monkeypatch.setitem(formulas.TABLE["elementwise"], "mul", whole[:2])
    with pytest.raises(LookupError, match="mul has 1 gradients"):
        ops.entry_text(mul, homes, ops.ties(), NoPictures())
    monkeypatch.delitem(formulas.TABLE["elementwise"], "mul")
    with pytest.raises(LookupError, match="mul has no formula"):
        ops.entry_text(mul, homes, ops.ties(), NoPictures())


def test_every_row_of_the_ties_belongs_to_an_op() -> None:
    names = [e.name for entries in FAMILIES.values() for e in entries if e.public]
    named = [row for name in names for row in ops.ties_of(name, ops.ties())]
    assert [row for row in ops.ties() if row not in named] == []
