"""Verify: check a package's files, its signature, and the output for its sample."""
