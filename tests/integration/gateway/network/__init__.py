"""The gateway: networks, ports and security groups."""
