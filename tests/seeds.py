"""False alarms: runs all that is drawn at random with many seeds; nothing may fail, since nothing is wrong.

    nice python tests/seeds.py [--seeds 20] [--first 0] [--examples N]

Each seed is one run of the battery over every op with both kernel sets, and of the tests of random programs, random
networks, states and gradcheck itself. It prints each alarm, and how many runs had one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TESTS = [str(HERE / f"test_{name}.py") for name in ("programs", "stateful", "gradcheck")]


def alarms(seed: int, examples: int | None) -> list[str]:
    """What failed with this seed: the output of each of the two commands that did."""
    battery = [sys.executable, "-m", "tinygrad_cnn.testing", "--seed", str(seed)]
    battery += [] if examples is None else ["--examples", str(examples)]
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}", *TESTS]
    environment = {"HYPOTHESIS_PROFILE": "default"} | {k: v for k, v in os.environ.items() if k != "CI"}
    found = []
    for command in (battery, pytest):
        done = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            found.append(done.stdout + done.stderr)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--examples", type=int, help="for each property of the battery (default: as in the tests)")
    given = parser.parse_args()
    failed = 0
    for seed in range(given.first, given.first + given.seeds):
        start = time.perf_counter()
        found = alarms(seed, given.examples)
        failed += bool(found)
        sys.stdout.write("".join(found))
        sys.stdout.write(f"seed {seed}: {'ALARM' if found else 'quiet'}, {time.perf_counter() - start:.0f} s\n")
        sys.stdout.flush()
    sys.stdout.write(f"{failed} of {given.seeds} runs had an alarm\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
