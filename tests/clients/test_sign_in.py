"""The ways into the cloud that people are given: an openrc for the shell, and clouds.yaml."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from support.client_environment import clean_environment, client_environment
from support.openstack_cloud import OpenStackCloud


def run(command: list[str], directory: Path) -> dict[str, str]:
    """What a command printed as JSON."""
    done = subprocess.run(
        command, cwd=directory, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def test_a_shell_that_sources_the_openrc_is_signed_in(openstack: OpenStackCloud, tmp_path: Path) -> None:
    openstack.write_files(tmp_path)
    program = client_environment("clients").program("openstack")
    script = f". ./ann.openrc && {program} token issue -f json"
    assert run(["sh", "-c", script], tmp_path)["project_id"] == openstack.projects["demo"]


def test_a_name_in_clouds_yaml_is_enough(openstack: OpenStackCloud, tmp_path: Path) -> None:
    openstack.write_files(tmp_path)
    program = client_environment("clients").program("openstack")
    command = [str(program), "--os-cloud", "bob", "token", "issue", "-f", "json"]
    assert run(command, tmp_path)["project_id"] == openstack.projects["other"]
