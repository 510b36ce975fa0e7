"""Images built on this machine from Debian's own packages, without a mirror's name or root's mounts.

`demo` is a tiny Linux that boots in seconds even under emulation; `debian` is a full Debian with cloud-init.
Both are built once per recipe and kept in the user's cache.
"""

from cairn_local.images.store import BuildError, BuiltImage

__all__ = ["BuildError", "BuiltImage"]
