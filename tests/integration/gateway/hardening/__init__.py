"""The gateway: outages and hostile input."""
