"""`python -m faults --seed N --operations 2000`: play one seed, or a row of them; from the folder `tests`.

A seed takes the same way every time, given the same code. `--trace` prints every step.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

HASH_SEED = "0"
LAST_LINES = 80
IDLE = (
    "sql.read",
    "leases",
    "driver.machines",
    "driver.inventory",
    "driver.get",
    "computenodes/status",
    "GET.version",
    "upsert_compute_node",
)
"""What goes on all the time, and is left out of the last lines."""


def main(arguments: list[str]) -> int:
    """Returns 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --seed on")
    parser.add_argument("--step", type=int, default=1, help="from one seed to the next")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new after that")
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--trace", action="store_true", help="print every step")
    parser.add_argument(
        "--still",
        action="store_true",
        help="no moves, no volumes: the life of an instance on one host",
    )
    parser.add_argument("--only", default="", help="operations, by name, with commas between")
    wanted = parser.parse_args(arguments)

    from faults.operations import OPERATIONS
    from faults.play import play

    only = {name.strip() for name in wanted.only.split(",") if name.strip()} or None
    if wanted.still:
        only = set(OPERATIONS)
    worst, until = 0, time.monotonic() + wanted.seconds
    for seed in range(wanted.seed, wanted.seed + wanted.seeds * wanted.step, wanted.step):
        if time.monotonic() > until:
            break
        echo = print if wanted.trace else None
        report = play(seed, wanted.operations, only=only, echo=echo, until=until)
        rate = report.operations / report.seconds
        print(
            f"seed {seed}: {report.operations} operations, {report.faults} faults injected, {rate:.0f}/s, "
            f"settled within {max(report.settled, default=0):.0f} s, {report.digest}",
            flush=True,
        )
        if report.broken:
            worst = 1
            if not wanted.trace:
                told = [
                    line for line in report.trace if not any(word in line for word in IDLE) or "!!" in line
                ]
                print("\n".join(told[-LAST_LINES:]))
            print("\n".join(f"BROKEN {finding}" for finding in report.broken))
    return worst


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        # Sets are walked in the order of hashes: a seed must fix that, too.
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "faults", *sys.argv[1:]])
    sys.exit(main(sys.argv[1:]))
