"""A Django project in one file, whose workers share a cache and what is counted in it.

    gunicorn --workers 4 website:application

Sessions may be kept there as well: SESSION_ENGINE = "django.contrib.sessions.backends.cache".
"""

from __future__ import annotations

import os
import time

from django.conf import settings
from django.core.cache import cache
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.cache import cache_page

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for the example",
    CACHES={
        "default": {
            "BACKEND": "segdict.caches.django.SharedMemoryCache",
            "LOCATION": os.environ.get("CACHE", "website"),
            "OPTIONS": {"CAPACITY": 10_000, "VALUE_BYTES": 8 << 20},
        }
    },
)


def hits(request: HttpRequest, page: str) -> JsonResponse:
    """Counts over all workers; nothing is lost when two count at once."""
    time.sleep(0.002)  # what a real page would take
    cache.add(f"hits {page}", 0, timeout=None)
    return JsonResponse({"hits": cache.incr(f"hits {page}"), "pid": os.getpid()})


@cache_page(60)
def slow(request: HttpRequest) -> JsonResponse:
    """Made by one worker, once a minute; the others show what it has made."""
    time.sleep(0.1)
    return JsonResponse({"made by": os.getpid(), "at": time.time()})


urlpatterns = [path("hits/<str:page>", hits), path("slow", slow)]
application = get_wsgi_application()
