"""The cache for aiocache; see segdict.caches.aiocache."""

from ...caches.aiocache import SharedMemoryCache

__all__ = ["SharedMemoryCache"]
