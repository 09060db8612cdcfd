"""The Python API: a built model as `toolchain.Matting`, frames in and mattes out."""
