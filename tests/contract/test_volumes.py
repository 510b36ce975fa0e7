"""Volumes: their files, and machines that have them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cairn_agent.drivers.api import Capability, ImageUnavailable, Unsupported
from cairn_agent.drivers.api_operations import VolumeMissing
from cairn_agent.drivers.driver import Driver
from cairn_crds.guest import GuestSpec, GuestVolume
from cairn_crds.host_volume import HostVolumeSpec, VolumeReference
from cairn_crds.image_source import GuestImage
from cairn_crds.instance import PowerState
from cairn_crds.volume import VolumeBackend
from contract.backends import NODE, Backend
from contract.libvirt_backends import LibvirtBackend
from contract.machines import bring_to, operation, power, spawn
from contract.pairs import Pair, arrival, destination

LOCAL, SHARED = VolumeBackend.LOCAL, VolumeBackend.SHARED
STATES = [PowerState.SHUTDOWN, PowerState.RUNNING]


def of(size_gib: int = 1, **fields: Any) -> HostVolumeSpec:
    return HostVolumeSpec(volume=VolumeReference(namespace="blue", name="data"), size_gib=size_gib, **fields)


@pytest.fixture
def with_volumes(driver: Driver) -> None:
    if Capability.ATTACH_VOLUME not in driver.capabilities:
        pytest.skip("this hypervisor has no volumes, and says so")


@pytest.fixture
def volume_id() -> str:
    return str(uuid.uuid4())


def having(spec: GuestSpec, *volumes: GuestVolume) -> GuestSpec:
    return spec.model_copy(update={"volumes": list(volumes)})


async def test_without_the_capability_none_is_made(driver: Driver, volume_id: str) -> None:
    if Capability.ATTACH_VOLUME in driver.capabilities:
        return
    with pytest.raises(Unsupported):
        await driver.make_volume(NODE, volume_id, of())
    await driver.remove_volume(NODE, volume_id, LOCAL)


@pytest.mark.usefixtures("with_volumes")
@pytest.mark.parametrize("backend_kind", [LOCAL, SHARED])
async def test_a_volume_is_made_once_grows_and_goes(
    driver: Driver, volume_id: str, backend_kind: VolumeBackend
) -> None:
    for size, there in ((1, 1), (1, 1), (3, 3), (2, 3)):
        assert await driver.make_volume(NODE, volume_id, of(size, backend=backend_kind)) == there
    for _ in range(2):
        await driver.remove_volume(NODE, volume_id, backend_kind)
    with pytest.raises(VolumeMissing):
        await driver.make_volume(NODE, volume_id, of(backend=backend_kind, made=True))


@pytest.mark.usefixtures("with_volumes")
@pytest.mark.parametrize("state", STATES)
async def test_it_is_plugged_in_and_out(
    backend: Backend, driver: Driver, instance_id: str, volume_id: str, state: PowerState
) -> None:
    other = str(uuid.uuid4())
    await driver.make_volume(NODE, volume_id, of())
    await driver.make_volume(NODE, other, of(backend=SHARED))
    spec = await bring_to(backend, instance_id, state, backend.bare_spec())
    if state is PowerState.RUNNING:
        await backend.greeted(instance_id)
    first = GuestVolume(id=volume_id, size_gib=1, device="/dev/vdc")
    second = GuestVolume(id=other, backend=SHARED, size_gib=1, device="/dev/vda", read_only=True)
    live = state is PowerState.RUNNING
    for _ in range(2):
        await driver.reconfigure(NODE, instance_id, having(spec, first, second))
        assert backend.volumes(instance_id) == {volume_id: False, other: True}
        assert backend.volumes(instance_id, live=live) == {volume_id: False, other: True}
    assert await power(driver, instance_id) is state


@pytest.mark.usefixtures("with_volumes")
async def test_a_machine_that_is_off_loses_it_at_once(
    backend: Backend, driver: Driver, instance_id: str, volume_id: str
) -> None:
    await driver.make_volume(NODE, volume_id, of())
    spec = await spawn(backend, instance_id, backend.bare_spec())
    await driver.reconfigure(NODE, instance_id, having(spec, GuestVolume(id=volume_id, size_gib=1)))
    await driver.reconfigure(NODE, instance_id, spec)
    assert backend.volumes(instance_id) == {}
    assert await driver.make_volume(NODE, volume_id, of(made=True)) == 1  # its file is as it was


@pytest.mark.usefixtures("with_volumes")
@pytest.mark.parametrize("state", STATES)
async def test_it_grows_in_a_machine(
    backend: Backend, driver: Driver, instance_id: str, volume_id: str, state: PowerState
) -> None:
    await driver.make_volume(NODE, volume_id, of())
    spec = await bring_to(backend, instance_id, state, backend.bare_spec())
    for size in (1, 2):
        larger = having(spec, GuestVolume(id=volume_id, size_gib=size))
        await driver.reconfigure(NODE, instance_id, larger)
        assert backend.volume_gib(instance_id, volume_id) == size
    assert await driver.make_volume(NODE, volume_id, of(2)) == 2


@pytest.mark.usefixtures("with_volumes")
async def test_without_its_file_nothing_is_plugged_in_or_made(
    backend: Backend, driver: Driver, instance_id: str, volume_id: str
) -> None:
    missing = GuestVolume(id=volume_id, size_gib=1)
    with pytest.raises(VolumeMissing):
        await spawn(backend, instance_id, having(backend.bare_spec(), missing))
    other = str(uuid.uuid4())
    spec = await spawn(backend, other, backend.bare_spec())
    with pytest.raises(VolumeMissing):
        await driver.reconfigure(NODE, other, having(spec, missing))
    assert backend.volumes(other) == {}


@pytest.mark.usefixtures("with_volumes")
async def test_volumes_stay_when_their_machine_goes(
    backend: Backend, driver: Driver, instance_id: str, volume_id: str
) -> None:
    await driver.make_volume(NODE, volume_id, of())
    spec = await spawn(backend, instance_id, having(backend.spec(), GuestVolume(id=volume_id, size_gib=1)))
    assert backend.volumes(instance_id) == {volume_id: False}
    await driver.destroy(NODE, instance_id)
    assert backend.leftovers(instance_id, spec) == []
    assert await driver.make_volume(NODE, volume_id, of(made=True)) == 1


@pytest.mark.usefixtures("with_volumes")
async def test_a_machine_boots_from_a_volume(
    backend: Backend, driver: Driver, instance_id: str, volume_id: str
) -> None:
    image: GuestImage = backend.spec().image
    await driver.make_volume(NODE, volume_id, of(image=image))
    root = GuestVolume(id=volume_id, size_gib=1, device="/dev/vda", boot_index=0)
    spec = having(backend.bare_spec(), root)
    for _ in range(2):
        await driver.spawn(NODE, instance_id, spec, _silent)
    await driver.power_on(NODE, instance_id)
    await backend.greeted(instance_id)
    assert backend.volumes(instance_id, live=True) == {volume_id: False}
    await driver.reconfigure(NODE, instance_id, spec)
    assert backend.volumes(instance_id) == {volume_id: False}


@pytest.mark.usefixtures("with_volumes")
async def test_one_that_boots_from_a_volume_is_rescued(
    backend: Backend, driver: Driver, instance_id: str, volume_id: str
) -> None:
    other = str(uuid.uuid4())
    await driver.make_volume(NODE, volume_id, of(image=backend.deaf))
    await driver.make_volume(NODE, other, of())
    root = GuestVolume(id=volume_id, size_gib=1, device="/dev/vda", boot_index=0)
    spec = having(backend.spec(backend.deaf), root)
    await spawn(backend, instance_id, spec)
    await driver.power_on(NODE, instance_id)
    properties = {"hw_rescue_bus": "virtio", "hw_rescue_device": "disk"}
    image = backend.listening.model_copy(update={"properties": properties})
    rescue = operation(instance_id, spec)
    for _ in range(2):
        await driver.rescue(rescue, image)
        assert await power(driver, instance_id) is PowerState.RUNNING
    await backend.greeted(instance_id)
    assert backend.volumes(instance_id, live=True) == {volume_id: False}
    data = GuestVolume(id=other, size_gib=1, device="/dev/vdc")
    await driver.reconfigure(NODE, instance_id, having(spec, root, data))
    assert backend.volumes(instance_id, live=True) == {volume_id: False, other: False}
    with_data = having(spec, root, data)
    await driver.unrescue(operation(instance_id, with_data))
    assert await power(driver, instance_id) is PowerState.SHUTDOWN
    assert backend.volumes(instance_id) == {volume_id: False, other: False}
    await driver.destroy(NODE, instance_id)
    assert backend.leftovers(instance_id, spec) == []


@pytest.mark.usefixtures("with_volumes")
async def test_one_that_boots_from_a_volume_is_made_anew_on_it(
    backend: Backend, driver: Driver, instance_id: str, volume_id: str
) -> None:
    await driver.make_volume(NODE, volume_id, of(image=backend.deaf))
    root = GuestVolume(id=volume_id, size_gib=1, device="/dev/vda", boot_index=0)
    spec = having(backend.bare_spec(backend.deaf), root)
    await spawn(backend, instance_id, spec)
    await driver.power_on(NODE, instance_id)
    backend.break_images(ImageUnavailable("no such image"))
    rebuild = operation(instance_id, spec.model_copy(update={"image": backend.listening}))
    with pytest.raises(ImageUnavailable):
        await driver.rebuild(rebuild, _silent)
    backend.break_images(None)
    for _ in range(2):
        await driver.rebuild(rebuild, _silent)
        assert await power(driver, instance_id) is PowerState.SHUTDOWN
    await driver.power_on(NODE, instance_id)
    await backend.greeted(instance_id)
    assert backend.volumes(instance_id, live=True) == {volume_id: False}
    assert backend.volume_gib(instance_id, volume_id) == 1


@pytest.mark.usefixtures("with_volumes")
@pytest.mark.parametrize("state", STATES)
async def test_an_image_of_one_that_boots_from_a_volume_has_what_is_on_that(
    backend: Backend, driver: Driver, instance_id: str, volume_id: str, state: PowerState
) -> None:
    image: GuestImage = backend.spec().image
    await driver.make_volume(NODE, volume_id, of(image=image))
    root = GuestVolume(id=volume_id, size_gib=1, device="/dev/vda", boot_index=0)
    spec = having(backend.bare_spec(), root)
    await spawn(backend, instance_id, spec)
    if state is PowerState.RUNNING:
        await driver.power_on(NODE, instance_id)
        await backend.greeted(instance_id)
    taken = operation(instance_id, spec)
    made = await driver.snapshot(taken)
    assert image.name in backend.image_text(made)
    assert await power(driver, instance_id) is state
    await driver.drop_snapshot(taken)


async def _silent(_step: object) -> None:
    """Nobody asks."""


async def test_a_shared_volume_goes_along_with_a_running_machine(
    pair: Pair, instance_id: str, volume_id: str
) -> None:
    source, there = pair.source, pair.destination
    if Capability.LIVE_MIGRATION not in source.driver.capabilities:
        pytest.skip("this hypervisor moves no running machines, and says so")
    if isinstance(source, LibvirtBackend) and isinstance(there, LibvirtBackend):
        there.volume_settings = source.volume_settings
        await there.restart()
    await source.driver.make_volume(NODE, volume_id, of(backend=SHARED))
    spec = having(source.spec(), GuestVolume(id=volume_id, backend=SHARED, size_gib=1))
    await spawn(source, instance_id, spec)
    await source.driver.power_on(NODE, instance_id)
    address = await there.driver.prepare_incoming(arrival(instance_id, spec), _silent)
    await source.driver.live_migrate(operation(instance_id, spec), destination(address), _silent)
    assert await pair.power_there(instance_id) is PowerState.RUNNING
    assert there.volumes(instance_id, live=True) == {volume_id: False}
    assert there.volume_gib(instance_id, volume_id) == 1
