"""`make bench`: run the benchmarks, print the tables, keep the results as JSON.

`BENCH_ARGS="single burst"` runs some of them only: single, burst, large, writes, scheduler, api,
actions, drain, restart, qemu, soak.
`api` takes `--database postgresql` (or mariadb: a server of its own), `--gateways 2`, and
`--instances 100000`, which asks a cloud of that size in place of a small one; `restart` takes that, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import actions, api, boots, drain, restart, scale
from cairn_local.control_plane.binaries import Binaries, find_binaries
from integration.database.servers import MariadbServer, PostgresqlServer, Server

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
    "api": {
        "token_issue_per_second": 3.3,
        "versions_per_second": 620,
        "show_per_second": 39.5,
        "show_one_client_per_second": 20.6,
        "detail_10_per_second": 18.5,
        "detail_100_per_second": 4.4,
        "detail_1000_p50": 3.4,
        "list_1000_p50": 1.18,
        "flavors_detail_per_second": 208,
        "limits_per_second": 90,
        "post_p50": 0.079,
        "post_to_active_p50": 0.556,
        "post_to_active_p95": 0.663,
        "delete_to_gone_p50": 0.306,
        "burst_all_active": 37.0,
        "burst_cpu_per_boot": 1.1,
        "gateway_rss_mib": 444,
    },
}
"""Real Nova on such a machine: single, burst and api on 10 hosts, large with 500 at once on 100 nodes."""

USUAL = ("single", "burst", "large", "writes", "scheduler", "api", "actions", "qemu")


class _Postgresql(PostgresqlServer):
    durable = True


SERVERS: dict[str, type[Server]] = {"postgresql": _Postgresql, "mariadb": MariadbServer}

console = Console(highlight=False, width=150)


def main(arguments: list[str]) -> int:
    """Run what is asked for, or everything but the long ones."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks")
    parser.add_argument("names", nargs="*", default=list(USUAL))
    parser.add_argument("--database", choices=("sqlite", *SERVERS), default="sqlite")
    parser.add_argument("--gateways", type=int, default=1)
    parser.add_argument("--instances", type=int, default=0)
    options = parser.parse_args(arguments)
    binaries = find_binaries(console.print)
    runs: dict[str, Callable[[Binaries, Path], Any]] = {
        "single": boots.one_by_one,
        "burst": lambda b, folder: boots.at_once(b, folder, hosts=10, count=100),
        "large": lambda b, folder: boots.at_once(b, folder, hosts=100, count=1000, agents=2),
        "writes": boots.counted_writes,
        "soak": boots.soak,
        "actions": actions.one_by_one,
        "drain": drain.with_many,
        "restart": lambda b, folder: restart.with_many(b, folder, options.instances or 10_000),
        "api": lambda b, folder: _api(b, folder, options),
        "qemu": lambda _b, _folder: _real_guests(),
    }
    known = {*runs, "scheduler"}
    if unknown := {*options.names} - known:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    RESULTS.mkdir(exist_ok=True)
    for name in options.names:
        if name == "scheduler":
            from benchmarks import scheduler_decisions

            scheduler_decisions.main()
            continue
        console.print(f"== {name}")
        with tempfile.TemporaryDirectory(prefix="cairn-bench-") as folder:
            result = asdict(runs[name](binaries, Path(folder)))
        _print(name, dict(result))
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        (RESULTS / f"{name}-{stamp}.json").write_text(json.dumps(result, indent=1))
    return 0


def _api(binaries: Binaries, folder: Path, options: argparse.Namespace) -> Any:
    with _database(options.database) as url:
        if options.instances:
            return scale.large_cloud(
                binaries, folder, instances=options.instances, database_url=url, gateways=options.gateways
            )
        return api.compute_api(binaries, folder, database_url=url, gateways=options.gateways)


@contextmanager
def _database(kind: str) -> Iterator[str]:
    """The URL of a new database whose commits are on disk; empty for SQLite, which Cairn makes itself."""
    if kind not in SERVERS:
        yield ""
        return
    server = SERVERS[kind]()
    try:
        server.start()
        yield server.new_database()
    finally:
        server.remove()


def _real_guests() -> Any:
    from benchmarks import qemu

    return qemu.real_guests()


def _print(name: str, result: dict[str, Any]) -> None:
    table = Table("figure", "Cairn", "Nova" if name in NOVA else "", "ratio", box=None)
    nova = NOVA.get(name, {})
    few, many = result.pop("few", {}), result.pop("many", {})
    for question, ratio in result.pop("ratio", {}).items():
        table.add_row(
            question, f"{many[question]:.1f} ms", f"{few[question]:.1f} ms at 1,000", f"{ratio:.1f}x"
        )
    for key, value in result.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                table.add_row(f"{key}: {inner}", f"{number:g}")
            if value and key != "phases":
                table.add_row(f"{key}: sum", f"{sum(value.values()):.2f}")
        elif key in nova:
            ratio = value / nova[key] if key.endswith("_per_second") else nova[key] / value
            table.add_row(key, f"{value:.3f}", f"{nova[key]:g}", f"{ratio:.1f}x")
        else:
            table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
