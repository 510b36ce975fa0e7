"""The gateway: flavors, images and keys."""
