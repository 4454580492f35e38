"""Property-based tests of gradients: `gradcheck`, Hypothesis strategies, and a battery of properties for every op."""

from __future__ import annotations

from tinygrad_cnn.testing.gradcheck import GradcheckResult, Worst, gradcheck

__all__ = ["GradcheckResult", "Worst", "gradcheck"]
