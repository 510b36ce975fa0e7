"""Which files of a kernel package make a list of modules loadable, in the order to load them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cairn_local.images.store import BuildError

_DEPENDS = re.compile(rb"(?<=\0)depends=([^\0]*)\0")


def load_order(tree: Path, wanted: Iterable[str]) -> list[Path]:
    """The `.ko` files below `tree` for `wanted` and all they depend on, each after what it needs.

    What the kernel has built in needs no file. Raises BuildError for a module that is nowhere.
    """
    files = {_name(path.name.removesuffix(".ko")): path for path in tree.rglob("*.ko")}
    built_in = {
        _name(Path(line).name.removesuffix(".ko"))
        for listing in tree.rglob("modules.builtin")
        for line in listing.read_text().splitlines()
    }
    order: dict[Path, None] = {}

    def add(name: str) -> None:
        if name in built_in:
            return
        path = files.get(name)
        if path is None:
            raise BuildError(f"the kernel package has no module {name} below {tree}")
        if path not in order:
            for needed in _depends(path):
                add(needed)
            order[path] = None

    for name in wanted:
        add(_name(name))
    return list(order)


def _name(module: str) -> str:
    """Modules are called by either sign: `virtio-rng.ko` is virtio_rng."""
    return module.replace("-", "_")


def _depends(path: Path) -> list[str]:
    match = _DEPENDS.search(path.read_bytes())
    return [_name(name) for name in match[1].decode().split(",") if name] if match else []
