"""The published network in plain PyTorch: backbone, ASPP, decoder, refiner, and the whole.

Sources: *Real-Time High-Resolution Background Matting* (CVPR 2021, arXiv 2012.07810) for the
design, the upstream repository (MIT) for names and arithmetic.  Keys, shapes and order of the
state dict are the published ones.
"""
