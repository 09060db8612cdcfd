"""Download: place files in a folder, verified against a published or recorded digest."""
