"""Build the documentation site: python docs/build.py [FOLDER], by default build/docs/html."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the package that lies beside these pages, installed or not

from builder.blocks import ROOT
from builder.site import build

if __name__ == "__main__":
    out = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build" / "docs" / "html"
    build(out)
    print(f"the site is in {out}: open {out / 'index.html'}")
