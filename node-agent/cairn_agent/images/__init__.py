"""Images on this host: `ImageCache.fetch` gives the checked file of a Guest's image."""

from cairn_agent.images.cache import ImageCache, Pruned
from cairn_agent.images.formats import check_overlay, virtual_size
from cairn_agent.images.sources import Limits

__all__ = ["ImageCache", "Limits", "Pruned", "check_overlay", "virtual_size"]
