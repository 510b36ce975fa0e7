"""The gateway: Keystone and the built-in identity."""
