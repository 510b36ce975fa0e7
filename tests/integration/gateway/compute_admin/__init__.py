"""The gateway: what administrators ask for."""
