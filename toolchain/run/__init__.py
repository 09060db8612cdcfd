"""Frames, folders, videos and cameras through a model, into pictures and videos: `matting run`.

`sources` read, `sinks` write, `plates` and `backgrounds` stand beside each frame, `run` is the
one way through.  Everything that needs PyAV or OpenCV, the extra `video`, imports it when used.
"""
