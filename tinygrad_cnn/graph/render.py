"""From DOT to files, by the layout program that comes with the package, or by the system's `dot`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinygrad_cnn.graph.dot import check_names, drawing_of
from tinygrad_cnn.graph.graph import Graph
from tinygrad_cnn.graph.svg import Layout, finish, hooks, read
from tinygrad_cnn.graph.titles import Place, clear
from tinygrad_cnn.serialization import write_atomically

__all__ = ["draw", "render", "save", "save_picture"]

_MOST = 1_000  # boxes: a layout of so many takes a second or some
_MOST_CLEARED = 300  # boxes: larger pictures are laid out once, whatever their edges run through
_ENGINES = ("graphviz-pure", "dot")
_ENDINGS = (".svg", ".png", ".pdf", ".dot", ".json", ".html")
_NO_PICTURES = {
    ".json": "a .json holds the graph itself and no look of it",
    ".html": "a .html is the explorer, whose reader chooses the look",
}
_DPI = 144


def save(
    graph: Graph, path: str | os.PathLike[str], engine: str | None, dpi: int | None, style: dict[str, Any]
) -> None:
    """Write a graph to `path`, in the form that its ending names; an old file there stays whole on any error."""
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise ValueError(f"graph.save: {os.fspath(path)} ends in {ending!r}, expected one of {', '.join(_ENDINGS)}")
    _refuse_options(ending, engine, dpi, style)
    if ending == ".html":
        graph.explore(path)
        return
    if ending == ".json":
        content = graph.to_json().encode()
    elif ending == ".dot":
        content = graph.to_dot(**style).encode()
    else:
        content = draw(graph, ending[1:], style, engine, _DPI if dpi is None else dpi)
    write_atomically(path, content)


def save_picture(graph: Graph, path: str | os.PathLike[str], what: str, **options: Any) -> None:
    """Save what is nothing without its look; ValueError for a file that holds none."""
    ending = Path(path).suffix.lower()
    if ending in _NO_PICTURES:
        pictures = ", ".join(ending for ending in _ENDINGS if ending not in _NO_PICTURES)
        raise ValueError(f"graph: {what} is a picture, and {os.fspath(path)} holds none; expected one of {pictures}")
    graph.save(path, **options)


def _refuse_options(ending: str, engine: str | None, dpi: int | None, style: dict[str, Any]) -> None:
    """An option that a file of this form has no place for is an error: nobody should believe that it did something."""
    check_names(style)
    layout = [name for name, value in (("engine", engine), ("dpi", dpi)) if value is not None]
    if ending in _NO_PICTURES and (given := [*style, *layout]):
        raise ValueError(
            f"graph.save: {_NO_PICTURES[ending]}, so it takes no {', '.join(given)}; "
            "a .svg, .png, .pdf or .dot is a picture"
        )
    if ending == ".dot" and layout:
        raise ValueError(f"graph.save: a .dot is not laid out, so it takes no {', '.join(layout)}")


def draw(graph: Graph, form: str, style: dict[str, Any], engine: str | None = None, dpi: int = _DPI) -> bytes:
    """A graph's picture; one with too many boxes for a layout to end in good time is folded further, and says so."""
    if form == "pdf" and engine is None:
        engine = "dot"  # the only one that writes it
    drawing = drawing_of(graph, most=_MOST, **style)
    places: Mapping[str, Place] = {}
    if drawing.has_clusters and len(drawing.nodes) <= _MOST_CLEARED:

        def lay_out(places: Mapping[str, Place]) -> Layout:
            return read(_svg(drawing.source(places), engine))

        drawing.sides = hooks(lay_out(places), drawing.direction)
        places = clear(lay_out)
    picture = render(drawing.source(places), form, engine, dpi)
    return finish(picture.decode(), drawing.words).encode() if form == "svg" else picture


def _svg(dot: str, engine: str | None) -> str:
    return render(dot, "svg", engine).decode()


def render(dot: str, form: str, engine: str | None = None, dpi: int = _DPI) -> bytes:
    """Lay out DOT source and draw it as "svg", "png" or "pdf"."""
    if engine is not None and engine not in _ENGINES:
        raise ValueError(f"graph: engine is {engine!r}, expected one of {', '.join(_ENGINES)}")
    if form == "pdf" and engine != "dot":
        raise ValueError("graph: graphviz-pure writes no PDF, the engine dot does, where Graphviz is installed")
    if not isinstance(dpi, int) or dpi < 1:
        raise ValueError(f"graph: dpi is {dpi!r}, expected dots in an inch, from 1")
    command = [_program(engine), "-Kdot", f"-T{form}"]
    if form == "png":
        command.append(f"-Gdpi={dpi}")
    done = subprocess.run(command, input=dot.encode(), capture_output=True, check=False)
    if done.returncode or not done.stdout:
        fault = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise RuntimeError(f"graph: {Path(command[0]).name} could not draw the {form}: {fault}")
    return done.stdout


def _program(engine: str | None) -> str:
    """The path of a layout program: of the given one, else of the first that there is."""
    for name in (engine,) if engine else _ENGINES:
        if found := shutil.which(name, path=_search_path()):
            return found
    if engine == "dot":
        raise RuntimeError("graph: no program dot was found (PDF needs it); install Graphviz, or save as .svg or .png")
    raise RuntimeError("graph: the program graphviz-pure was not found; `pip install graphviz-pure` brings it")


def _search_path() -> str:
    """Where pip puts programs for this Python, then the places where the shell looks."""
    own = [os.path.dirname(sys.executable), sysconfig.get_path("scripts")]
    if (scheme := f"{os.name}_user") in sysconfig.get_scheme_names():
        own.append(sysconfig.get_path("scripts", scheme))
    return os.pathsep.join([*own, os.environ.get("PATH", os.defpath)])
