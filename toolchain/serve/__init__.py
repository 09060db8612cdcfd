"""A local page that shows a model at work: `matting serve`.

One WebSocket a viewer.  The viewer sends messages of bytes, a kind (1: the clean plate, 2: a
frame), a number (4 bytes, little-endian) and a JPEG or WebP picture; and JSON to choose.  Back
come JSON and, for a frame, its number, how many frames were dropped so far (4 bytes each), the
milliseconds of the model and of all work here (floats of 4 bytes), and one JPEG with the
foreground above and alpha below.  The page puts them together, so a background never leaves it.

The newest frame is the next one; what it overtakes is dropped.  Nothing is stored.
"""
