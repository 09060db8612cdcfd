"""The package format: archive, manifest, layouts, signature, and a reader for untrusted ones."""
