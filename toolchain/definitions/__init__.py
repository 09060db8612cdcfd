"""The terms of the project, each in one place: precisions, variants, metrics, ports, architectures.

These modules contain definitions only.  All modules but `arrays` import only the standard library.
"""
