"""Comparison of the real Open Model Zoo tools with the commands of this toolchain: `make parity`.

All servers are on loopback, all files in temporary folders.  Each difference must be listed in the
table of docs/differences.md, which `findings` reads.  An unlisted difference fails the run, and so
does a row of the table without a difference.
"""
