"""A host that reaches nobody powers its guests off, and starts them again when it is heard."""

from __future__ import annotations

from integration.cloud.cairn import Cairn, Tenant


def test_guests_are_off_while_nobody_hears_their_host_and_run_again_afterwards(
    cairn: Cairn, tenant: Tenant
) -> None:
    instance_id = tenant.boot(host="quick")
    stopped = tenant.boot("stopped", host="quick")
    tenant.patch("stopped", powerState="Stopped")
    tenant.phase("Stopped", "stopped")

    def power() -> str:
        return str((cairn.machine(instance_id) or {}).get("power_state"))

    with cairn.settings("agent-quick", agent__self_fence_seconds=10, agent__heartbeat_seconds=1):
        cairn.plane.group["kube-apiserver"].kill()
        cairn.wait("the guest to be off", lambda: power() == "Shutdown")
        cairn.plane.group.start()
        cairn.wait("the guest to run again", lambda: power() == "Running")
        assert (cairn.machine(instance_id) or {})["boots"] == 2
        assert tenant.phase("Active")["spec"]["powerState"] == "Running"
        assert (cairn.machine(stopped) or {})["power_state"] == "Shutdown"
        assert "selfFenceSeconds" not in cairn.node("quick")["status"], "nobody may rely on it"
    cairn.start("agent-quick")
