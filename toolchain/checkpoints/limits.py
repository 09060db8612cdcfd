"""Limits on what a file may make the reader do.  No honest checkpoint of this network comes near.

Reading takes at most three times the network's tensors plus 64 MiB of memory, and a few seconds,
whatever the file declares.  Tensors outside this network are never read and need no memory.
"""

from __future__ import annotations

FILE_BYTES = 512 << 20  # of the file; the published one has 20 MB
# Objects that a pickle may build, in bytes as `pickles` estimates them.  A training checkpoint
# with optimizer state and a whole pickled model takes about 5 MiB.
PICKLE_BYTES = 24 << 20
NAME_BYTES = 1_024  # of a key or class name; longer texts stay in the file
DECODED_BYTES = 16 << 20  # of one text that stands for bytes, as Python 2 could read it
DECODED_TOTAL = 96 << 20  # of all of them that hold a file of torch.save
MEMBERS = 20_000  # of a zip archive; a training checkpoint has about 2,000
DIRECTORY_BYTES = 4 << 20  # of a zip archive's central directory
INFLATED_BYTES = 40 << 20  # of one compressed member; stored members are read in place
INFLATED_TOTAL = 96 << 20  # of all compressed members together
HEADER_BYTES = 1 << 20  # of a safetensors file
SPREAD = 8  # how much larger than its elements the part of a storage under a tensor may be
SMALL_SPREAD = 1 << 16  # bytes that are always permitted for the same
DIMENSIONS = 16
CANDIDATES = 256  # mappings that are compared with the network's keys
PREFIXES = 16  # of one mapping
NAMES = 500_000  # that are looked at; a training checkpoint has about 10,000
LEAVES = 8_192  # of one mapping, nested ones included
DEPTH = 16  # of one nested mapping
