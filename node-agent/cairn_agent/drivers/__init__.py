"""Hypervisor drivers: `api` says what a driver promises, one folder or module per hypervisor keeps it."""
