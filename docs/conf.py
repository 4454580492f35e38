"""Sphinx's settings for the site; docs/build.py runs it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tinygrad_cnn import __version__

project = "tinygrad_cnn"
author = "The tinygrad_cnn authors"
release = version = __version__
copyright = author

extensions = ["myst_parser", "builder.sphinx_parts"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
add_module_names = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries = False
smartquotes = False

html_theme = "furo"
html_title = "tinygrad_cnn"
html_static_path = ["style"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
