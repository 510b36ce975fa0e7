"""What is written down about machines, in directories that hosts may share."""

from __future__ import annotations

from pathlib import Path

from cairn_agent.drivers.libvirt.records import MachineRecord, Records

ID = "0f5a3c1e-1111-4222-8333-444455556666"


def record(node: str, epoch: int = 1) -> MachineRecord:
    return MachineRecord(node=node, fencing_epoch=epoch, image_sha256="a" * 64, networks=())


def test_a_shared_directory_keeps_the_files_until_the_last_host_has_let_go(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(ID, record("h1"))
    (records.path(ID) / "disk").write_text("content")
    records.write(ID, record("h2", 2))
    assert [found.node for found in records.of_machine(ID)] == ["h1", "h2"]
    records.remove("h1", ID)
    assert (records.read("h1", ID), (records.path(ID) / "disk").exists()) == (None, True)
    records.remove("h2", ID)
    assert not records.path(ID).exists()


def test_a_record_from_before_directories_were_shared_is_its_nodes(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(ID, record("h1"))
    directory = records.path(ID)
    (directory / "machine.h1.json").rename(directory / "machine.json")
    assert records.read("h1", ID) is None
    records.adopt()
    found = records.read("h1", ID)
    assert found is not None
    assert (found.node, found.fencing_epoch) == ("h1", 1)
    assert [path.name for path in directory.iterdir()] == ["machine.h1.json"]
