"""What a node says it has."""

from __future__ import annotations

from cairn_agent.drivers.driver import Driver
from contract.backends import NODE


async def test_a_node_has_something_to_give(driver: Driver) -> None:
    inventory = await driver.inventory(NODE)
    assert inventory.vcpus > 0
    assert inventory.memory_mib > 0
    assert inventory.disk_gib > 0
    assert inventory.hostname
    assert inventory.architecture
    assert inventory.hypervisor_type


async def test_what_the_driver_can_do_is_a_trait(driver: Driver) -> None:
    assert {str(capability) for capability in driver.capabilities} <= (await driver.inventory(NODE)).traits


async def test_traits_are_named_as_placement_wants_them(driver: Driver) -> None:
    traits = (await driver.inventory(NODE)).traits
    assert all(trait.replace("_", "").isalnum() and trait == trait.upper() for trait in traits)


async def test_metrics_are_shares(driver: Driver) -> None:
    for _ in range(2):
        metrics = (await driver.inventory(NODE)).metrics
        assert all(0 <= value <= 1 for value in metrics.values())


async def test_it_is_healthy(driver: Driver) -> None:
    assert await driver.healthy()
