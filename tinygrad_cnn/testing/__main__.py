"""Run the battery, or the one example that a failure printed: `python -m tinygrad_cnn.testing conv2d adjoint`."""

from __future__ import annotations

import argparse
import importlib
import runpy
import sys

from tinygrad_cnn.testing.battery import checks
from tinygrad_cnn.testing.spec import registered


def main(arguments: list[str] | None = None) -> int:
    """0 if everything holds, 1 if something does not, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m tinygrad_cnn.testing", description=__doc__)
    parser.add_argument("op", nargs="?", help="the name of a registered op; all of them if none is given")
    parser.add_argument("property", nargs="?", help="the name of a property; all of them if none is given")
    parser.add_argument("--example", help="run only the example with this code, which a failure printed")
    parser.add_argument("--examples", type=int, help="how many examples to try for each property")
    parser.add_argument("--seed", type=int, help="the same seed draws the same examples; others each time without one")
    parser.add_argument("--fast", action="store_true", help="only with the fast kernels, in float32")
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], help="a module or a .py file that registers more ops"
    )
    given = parser.parse_args(arguments)
    for module in given.modules:
        runpy.run_path(module) if module.endswith(".py") else importlib.import_module(module)
    if given.op is not None and given.op not in registered():
        parser.error(f"{given.op} is not registered; --import the module that registers it")
    asked = [check for op in ([given.op] if given.op else registered()) for check in checks(op)]
    asked = [check for check in asked if given.property in (None, check.prop.name) and (check.fast or not given.fast)]
    if not asked:
        parser.error(f"{given.property} is no property of {given.op}")
    if given.example is not None:
        asked = [check for check in asked if check.fast == given.fast]
    failed = 0
    for check in asked:
        try:
            check.run(given.examples, given.example, given.seed)
        except AssertionError as error:
            failed += 1
            sys.stdout.write(f"{error}\n")
        except ValueError as error:
            if given.example is None:
                raise
            parser.error(str(error))
    sys.stdout.write(f"{len(asked) - failed} of {len(asked)} checks hold\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
