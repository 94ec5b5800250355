"""Backends for the caches of frameworks: `segdict.caches.django` and `segdict.caches.aiocache`."""
