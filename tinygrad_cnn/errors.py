"""The one exception for a user's mistakes on the command line."""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(ValueError):
    """Something that the user can put right: the command line prints it as one line and exits with code 2."""
