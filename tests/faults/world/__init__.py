"""The world that the processes live in: time, API server, SQL, hypervisors, and what goes wrong in them."""
