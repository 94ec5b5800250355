"""What takes the place of the package shared-memory-dict, with its modules, names and behaviour.

``from segdict import SharedMemoryDict`` instead of ``from shared_memory_dict import SharedMemoryDict`` is enough. For
programs whose imports cannot be changed there is `segdict.install_as_shared_memory_dict`.
"""

from .dict import SharedMemoryDict

__all__ = ["SharedMemoryDict"]
