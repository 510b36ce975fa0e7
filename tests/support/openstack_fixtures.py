"""Fixtures of real OpenStack services, for a conftest to import: `real_keystone`, `real_glance`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.openstack_services import RunningGlance, RunningKeystone, running_glance, running_keystone


@pytest.fixture(scope="package")
def real_keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKeystone]:
    """A real Keystone for the whole session: `.url`, `.token()`, `.create("user", …)`, `.process.freeze()`.

    Tests share it: make users and projects of your own, and leave its process running.
    """
    with running_keystone(tmp_path_factory.mktemp("keystone")) as keystone:
        yield keystone


@pytest.fixture(scope="package")
def real_glance(
    real_keystone: RunningKeystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGlance]:
    """A real Glance that trusts `real_keystone` and is in its catalog: `.url`, `.request(…)`."""
    with running_glance(tmp_path_factory.mktemp("glance"), real_keystone) as glance:
        yield glance
