"""The gateway, with a real API server and database behind it."""
