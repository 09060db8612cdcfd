"""Tries of everything that comes from outside: faults that must never get in."""
