"""The bundle as files: its manifest, its archive, its layouts, its signature."""
