"""`make bench`: run the benchmarks, print the tables, keep the results as JSON.

`BENCH_ARGS="single burst"` runs some of them only: single, burst, large, writes, scheduler, qemu, soak.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import boots
from cairn_local.control_plane.binaries import Binaries, find_binaries

RESULTS = Path("bench-results")
NOVA = {
    "single": {"boot_p50": 0.550, "delete_p50": 0.314, "cairn_cpu_per_boot": 1.1},
    "burst": {
        "all_active": 37.0,
        "all_gone": 21.0,
        "boots_per_second": 2.7,
        "deletes_per_second": 4.8,
        "cairn_cpu_per_boot": 1.1,
    },
    "large": {"boots_per_second": 2.4, "deletes_per_second": 6.2, "cairn_cpu_per_boot": 1.1},
}
"""Real Nova on such a machine: single and burst on 10 hosts, large with 500 at once on 100 nodes."""

MORE_IS_BETTER = frozenset({"boots_per_second", "deletes_per_second"})

console = Console(highlight=False, width=150)


def main(arguments: list[str]) -> int:
    """Run what is asked for, or everything but the long ones."""
    wanted = arguments or ["single", "burst", "large", "writes", "scheduler", "qemu"]
    binaries = find_binaries(console.print)
    runs: dict[str, Callable[[Binaries, Path], Any]] = {
        "single": boots.one_by_one,
        "burst": lambda b, folder: boots.at_once(b, folder, hosts=10, count=100),
        "large": lambda b, folder: boots.at_once(b, folder, hosts=100, count=1000, agents=2),
        "writes": boots.counted_writes,
        "soak": boots.soak,
        "qemu": lambda _b, _folder: _real_guests(),
    }
    RESULTS.mkdir(exist_ok=True)
    for name in wanted:
        if name == "scheduler":
            from benchmarks import scheduler_decisions

            scheduler_decisions.main()
            continue
        console.print(f"== {name}")
        with tempfile.TemporaryDirectory(prefix="cairn-bench-") as folder:
            result = asdict(runs[name](binaries, Path(folder)))
        _print(name, result)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        (RESULTS / f"{name}-{stamp}.json").write_text(json.dumps(result, indent=1))
    return 0


def _real_guests() -> Any:
    from benchmarks import qemu

    return qemu.real_guests()


def _print(name: str, result: dict[str, Any]) -> None:
    table = Table("figure", "Cairn", "Nova", "ratio", box=None)
    nova = NOVA.get(name, {})
    for key, value in result.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                table.add_row(f"{key}: {inner}", f"{number:g}")
            if value and key != "phases":
                table.add_row(f"{key}: sum", f"{sum(value.values()):.2f}")
        elif key in nova:
            ratio = value / nova[key] if key in MORE_IS_BETTER else nova[key] / value
            table.add_row(key, f"{value:.3f}", f"{nova[key]:g}", f"{ratio:.1f}x")
        else:
            table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
