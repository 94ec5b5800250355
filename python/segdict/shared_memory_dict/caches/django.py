"""The cache for Django; see segdict.caches.django."""

from ...caches.django import SharedMemoryCache

__all__ = ["SharedMemoryCache"]
