"""The Python API: a built model as `toolchain.Matting`, which turns frames into mattes."""
