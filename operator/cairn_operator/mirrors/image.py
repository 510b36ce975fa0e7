"""An Image: its row, which the Image API shows; hosts fetch it when they first need it."""

from __future__ import annotations

from cairn_crds import Image
from cairn_database.images import mirror
from cairn_operator.mirrors.controller import MirrorContext, Mirrored
from cairn_runtime.kubernetes import NotFound

ANSWERS = {
    mirror.Taken.IN: Mirrored(),
    mirror.Taken.GONE: Mirrored(
        False, "Deleted", "The image was deleted through the Image API. Delete this resource as well."
    ),
    mirror.Taken.ID_TAKEN: Mirrored(
        False,
        "IdTaken",
        "Another image has this spec.id. Make the resource with another id, or with none.",
    ),
    mirror.Taken.ID_CHANGED: Mirrored(
        False,
        "FieldImmutable",
        "spec.id cannot change; the image keeps the one it had. Set it back, or make another resource.",
    ),
}


async def take_in_image(context: MirrorContext, image: Image) -> Mirrored:
    """An image becomes a row, and so do the projects that it is shared with."""
    return ANSWERS[await mirror.take_in(context.db, image)]


async def remove_image(context: MirrorContext, _namespace: str, name: str) -> None:
    """The row goes, and what the built-in store holds of it; instances keep what they were made from.

    The API server is asked first: the gateway may have made the resource before the watch told of it.
    """
    try:
        await context.kubernetes.get(Image, name)
    except NotFound:
        await mirror.let_go(context.db, name)
