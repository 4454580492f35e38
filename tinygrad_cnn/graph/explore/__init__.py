"""The explorer: one training step as a page of HTML that needs nothing else, to look at, fold, search and step through.

training_step.py   runs the step and keeps what each op made, and the gradient that came back
summaries.py       an array as a few numbers, a histogram, a small picture
tree.py            modules, layers and composites as nested groups, which the page folds
page.py            all of it as JSON, inside the page
page.html, page.css, layout.js, page.js: the page itself, plain files without a build step
"""

from __future__ import annotations

from tinygrad_cnn.graph.explore.page import explore

__all__ = ["explore"]
