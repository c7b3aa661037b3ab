"""Memory that a training asks for again at every step."""

import functools

import torch

# glibc adapts to blocks of at most 32 MiB on machines of 64 bits (mallopt(3),
# M_MMAP_THRESHOLD).
_BLOCK_BYTES = 31 * 2**20


@functools.cache
def steady_heap() -> None:
    """Have the C library keep the memory of a step for the next; once is enough.

    By default glibc gives blocks of some MB back to the system as soon as a step frees
    them, and gets them anew in the next, a page at a time, which may take longer than
    the step. It stops doing so with blocks that are smaller than the largest that was
    ever freed. Where the library works otherwise, nothing happens.
    """
    torch.empty(_BLOCK_BYTES, dtype=torch.uint8)
