"""The name that a dict's segment has in /dev/shm."""

MEMORY_NAME = "sm_{name}"
