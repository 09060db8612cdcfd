"""The output folder: its layout, atomic writes, locks, digests and records of finished stages."""
