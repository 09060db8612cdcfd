"""Checkpoints of unknown origin: read without running anything, searched for the weights.

`load.load_state_dict` gives the weights of this network, `load.describe` describes a file.
`formats` opens a file as a tree of inert values, `search` finds the one mapping of names to tensors
that fits the network.
"""
