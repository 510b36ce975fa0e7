"""What is wired: real API servers, databases, hypervisors and processes."""
