"""The gateway: Glance, the built-in store and S3."""
