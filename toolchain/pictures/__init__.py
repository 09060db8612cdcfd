"""Mattes, differences and patches as pictures; numpy and Pillow alone, no models."""
