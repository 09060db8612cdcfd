"""`matting serve`: a local web page that shows a model at work.

Each viewer has one WebSocket. It sends binary messages and JSON objects:

- Binary: the kind (1 byte; 1: clean plate, 2: frame), a number (4 bytes, little-endian) and a JPEG
  or WebP image.
- JSON: the choice of a model, and options of the clean plate.

It receives JSON, and for each frame a binary message: the number of the frame and the number of
frames dropped so far (4 bytes each), the milliseconds of inference and of all work on the server
(4-byte floats), and one JPEG with the foreground above the alpha. The page composites them, so
backgrounds stay in the browser.

The server works on the newest frame; older ones that are still waiting are dropped. Nothing is
stored.
"""
