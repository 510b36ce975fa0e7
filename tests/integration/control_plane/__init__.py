"""The local Kubernetes: made, started, stopped, lost and found again."""
