"""Unpack: write a verified package in the layout that a server or tool expects."""
