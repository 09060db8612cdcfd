"""The terms of the project, each in one place: precisions, variants, metrics, ports, architectures.

Nothing here does any work.  All modules but `arrays` import only the standard library.
"""
