"""Proof of the validation: correct conversions of many checkpoints pass, faulty ones do not."""
