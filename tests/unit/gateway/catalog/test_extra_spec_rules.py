"""Which extra specs a flavor may have."""

from __future__ import annotations

import pytest

from cairn_gateway.nova.extra_spec_rules import refusal


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hw:cpu_policy", "dedicated"),
        ("hw:cpu_realtime", "YES"),
        ("hw:cpu_realtime_mask", "^0-1"),
        ("hw:mem_page_size", "2MB"),
        ("hw:mem_page_size", "large"),
        ("hw:numa_cpus.0", "0-3,^1"),
        ("hw:numa_mem.12", "512"),
        ("hw:redirected_usb_ports", "15"),
        ("quota:disk_read_bytes_sec", "1024"),
        ("quota:cpu_quota", "-1"),
        ("trait:HW_CPU_X86_AVX2", "required"),
        ("trait2:CUSTOM_GOLD", "forbidden"),
        ("resources:VCPU", "0"),
        ("resources_ACCEL:CUSTOM_FPGA", "1"),
        ("pci_passthrough:alias", "gpu:1, nic:2"),
        ("capabilities:cpu_info:features", "<in> avx"),
        ("aggregate_instance_extra_specs:ssd", "true"),
        ("group_policy", "isolate"),
        ("mine", "whatever"),
        ("vendor:anything", "whatever"),
    ],
)
def test_what_may_be(key: str, value: str) -> None:
    assert refusal(key, value) is None


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("hw:cpu_policy", "exclusive", "'exclusive' is not one of: dedicated, shared, mixed"),
        ("hw:cpu_realtime", "perhaps", "'perhaps' is not a valid boolean-like value"),
        ("hw:numa_nodes", "many", "'many' is not a valid integer value"),
        ("hw:numa_nodes", "0", "'0' is less than the min value of '1'"),
        ("hw:redirected_usb_ports", "16", "'16' is greater than the max value of '15'"),
        ("hw:cpu_colour", "red", "extra spec 'hw:cpu_colour' does not appear to be a valid extra spec"),
        ("trait:lower", "required", "extra spec 'trait:lower' does not appear to be a valid extra spec"),
        ("trait:CUSTOM_GOLD", "maybe", "'maybe' is not one of: required, forbidden"),
        ("resources:VCPU", "two", "'two' is not a valid integer value"),
        ("group_policy", "any", "'any' is not one of: isolate, none"),
    ],
)
def test_what_may_not_be(key: str, value: str, why: str) -> None:
    assert refusal(key, value) == why


def test_a_pattern_says_what_it_wants() -> None:
    assert "is not of the format" in (refusal("hw:cpu_dedicated_mask", "all") or "")
