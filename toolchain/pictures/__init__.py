"""Mattes, differences and patches as images; numpy and Pillow only, no models."""
