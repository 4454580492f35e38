"""`python -m tinygrad_cnn` is the command `tinygrad-cnn`."""

from __future__ import annotations

from tinygrad_cnn.cli import main

if __name__ == "__main__":
    main()
