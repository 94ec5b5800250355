"""The caches for Django and aiocache, under the names that they have in shared-memory-dict."""
