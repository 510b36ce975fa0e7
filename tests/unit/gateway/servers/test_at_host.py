"""How a console log is cut, and what becomes of a hypervisor's counters."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cairn_crds.instance import PowerState
from cairn_gateway.nova.servers.at_host import ConsoleOutput, last_lines
from cairn_gateway.nova.servers.diagnostics import as_libvirt_counts
from cairn_runtime.diagnostics import CpuDiagnostics, DiskDiagnostics, MachineDiagnostics, NicDiagnostics

LOG = b"one\r\ntwo\r\n\tthree\x1b[0m\r\n"


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (None, "one\ntwo\n\tthree[0m\n"),
        (-1, "one\ntwo\n\tthree[0m\n"),
        (0, ""),
        (1, ""),
        (2, "\tthree[0m\n"),
        (3, "two\n\tthree[0m\n"),
        (10**18, "one\ntwo\n\tthree[0m\n"),
    ],
)
def test_the_last_lines(length: int | None, shown: str) -> None:
    assert last_lines(LOG, length) == shown


def test_a_log_that_is_cut_within_a_character_is_shown() -> None:
    assert last_lines("é".encode()[1:] + b"x", None) == "�x"


@pytest.mark.parametrize(("sent", "read"), [({}, None), ({"length": None}, None), ({"length": "7"}, 7)])
def test_lengths(sent: dict[str, object], read: int | None) -> None:
    assert ConsoleOutput.model_validate({"os-getConsoleOutput": sent}).wanted.length == read


@pytest.mark.parametrize("length", [-2, "-2", "x", 1.5, True, [], "1 ", ""])
def test_lengths_that_make_no_sense(length: object) -> None:
    with pytest.raises(ValidationError):
        ConsoleOutput.model_validate({"os-getConsoleOutput": {"length": length}})


def test_the_older_form_leaves_out_what_is_not_counted() -> None:
    found = MachineDiagnostics(
        state=PowerState.RUNNING,
        driver="libvirt",
        memory_maximum_kib=524288,
        memory_statistics_kib={"rss": 1000},
        cpus=(CpuDiagnostics(id=0, time_ns=17300000000), CpuDiagnostics(id=1)),
        nics=(NicDiagnostics(device="vnet0", mac_address="52:54:00:00:00:01", rx_octets=5, tx_drop=0),),
        disks=(DiskDiagnostics(device="vda", read_bytes=262144, read_requests=112),),
    )
    assert as_libvirt_counts(found) == {
        "cpu0_time": 17300000000,
        "vda_read": 262144,
        "vda_read_req": 112,
        "vda_errors": -1,
        "vnet0_rx": 5,
        "vnet0_tx_drop": 0,
        "memory": 524288,
        "memory-rss": 1000,
    }
