"""`matting run`: images, folders, videos and cameras through a model, into images and videos.

`sources` reads frames, `plates` and `backgrounds` provide the clean plate and the background of
each frame, `sinks` writes results, and `runner` connects them. `extras` imports PyAV and OpenCV,
which are optional.
"""
