"""From docs/*.md and the code to the HTML of the site.

1. The pages are copied to build/docs/source. Those that show files which their own code makes (pictures, explorers)
   are run, once for the light and once for the dark form of the pictures.
2. The pages of the ops and of the reference are written there.
3. Sphinx makes HTML of them, and any warning is an error. Nothing is fetched, then or when somebody reads them.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tinygrad_cnn as tg
from builder import api, ops
from builder.blocks import ROOT, graphs_are_drawn, run_page
from builder.pictures import Pictures, figure, width_of

DOCS = ROOT / "docs"
LINES = re.MULTILINE | re.DOTALL
SOURCE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)[^)]*\)")  # a link to a file of the project that is no page
PICTURE = re.compile(r"^!\[([^\]]*)\]\(([^)]+)\)$", re.MULTILINE)
MADE = re.compile(r"\]\(([\w./-]+\.(?:html|svg|png|csv|json))\)")


def build(out: Path) -> None:
    """Build the site into `out`; SystemExit if anything is wrong with it."""
    work = ROOT / "build" / "docs"
    source, made = work / "source", work / "extra" / "made"
    for folder in (source, made.parent, out):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir(parents=True)
    for page in sorted(DOCS.glob("*.md")):
        (source / page.name).write_text(with_what_it_makes(page, made))
    index = source / "index.md"
    index.write_text(with_the_other_pages(index.read_text(), [page.stem for page in source.glob("*.md")]))
    with ThreadPoolExecutor(2) as pool:
        ops.write_pages(source / "ops", lambda page: Pictures(made, page, pool))
    entries = [entry for family in ops.families().values() for entry in family]
    homes = {id(function): f"{e.home}.{e.name}" for e in entries for function in (e.function, e.call)}
    api.write_pages(source / "api", homes)
    sphinx(source, out)


def with_the_other_pages(index: str, names: list[str]) -> str:
    """The first page, with those pages in the menu that it does not name in one of its own lists."""
    listed = {line for block in re.findall(r"^```\{toctree\}\n(.*?)^```", index, LINES) for line in block.splitlines()}
    more = sorted(set(names) - listed - {"index"})
    return index + "\n```{toctree}\n:hidden:\n:caption: More\n\n" + "\n".join(more) + "\n```\n" if more else index


def with_what_it_makes(page: Path, made: Path) -> str:
    """The text of a page, in which pictures and links show the files that its own code makes."""
    text = page.read_text()
    wanted = {target for target in MADE.findall(text) if "://" not in target and not (DOCS / target).exists()}
    folder = made / page.stem
    if wanted:
        run_for_files(page, folder, wanted)
    address = f"made/{page.stem}"

    def shown(match: re.Match[str]) -> str:
        words, target = match.groups()
        where = folder if target in wanted else made.parent
        base = address if target in wanted else "."
        if target not in wanted:  # a picture that is kept beside the pages
            for kept in DOCS.joinpath(target).parent.glob(f"{Path(target).stem}*"):
                (made.parent / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(kept, (made.parent / target).parent)
        dark = re.sub(r"(\.\w+)$", r"-dark\1", target)
        has_dark = (where / dark).exists()
        return figure(f"{base}/{target}", f"{base}/{dark}" if has_dark else None, words, width_of(where / target))

    text = PICTURE.sub(shown, SOURCE.sub(r"`\2`", text))
    for target in wanted:
        text = re.sub(rf"\[([^\]]+)\]\({re.escape(target)}\)", rf'<a href="{address}/{target}">\1</a>', text)
    return text.replace("```output\n", "```{code-block} text\n:class: output\n\n")


def run_for_files(page: Path, folder: Path, wanted: set[str]) -> None:
    """Run a page and keep the wanted files; where the dark form of a picture differs, keep that too."""
    folder.mkdir(parents=True, exist_ok=True)
    for theme, suffix in (("light", ""), ("dark", "-dark")):
        with tempfile.TemporaryDirectory() as place, graphs_are_drawn(theme):
            tg.manual_seed(0)
            run_page(page, Path(place))
            for name in wanted:
                content = (Path(place) / name).read_bytes()
                path = folder / re.sub(r"(\.\w+)$", rf"{suffix}\1", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                if not suffix or (path.suffix == ".svg" and content != (folder / name).read_bytes()):
                    path.write_bytes(content)


def sphinx(source: Path, out: Path) -> None:
    """Run Sphinx over the sources, with warnings as errors."""
    from sphinx.cmd.build import build_main

    extra = source.parent / "extra"
    arguments = [
        "-b",
        "html",
        "-W",
        "--keep-going",
        "-q",
        "-j",
        "2",
        "-c",
        str(DOCS),
        "-d",
        str(source.parent / "doctrees"),
    ]
    code = build_main([*arguments, "-D", f"html_extra_path={extra}", str(source), str(out)])
    if code:
        sys.exit(code)
