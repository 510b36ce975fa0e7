"""The gateway: servers and their actions."""
