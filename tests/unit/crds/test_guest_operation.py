"""What an operation says of itself fits into its resource."""

from __future__ import annotations

from cairn_crds.guest_operation import OperationProgress


def test_the_progress_of_a_large_machine_can_be_told() -> None:
    told = OperationProgress(memory_total_bytes=2**40, disk_remaining_bytes=2**44).to_api()
    assert (told["memoryTotalBytes"], told["diskRemainingBytes"]) == (2**40, 2**44)
