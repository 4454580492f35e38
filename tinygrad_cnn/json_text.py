"""What the commands print with `--json`: one document that every reader of JSON takes."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["json_text"]


def json_text(value: Any) -> str:
    """The value as JSON on one line. NaN and infinities, which JSON has no words for, are null.

    >>> json_text({"loss": float("nan"), "rows": [1.5, "a"]})
    '{"loss": null, "rows": [1.5, "a"]}'
    """
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
