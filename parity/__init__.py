"""The incumbent's real tools and ours side by side: `make parity`.

Everything runs on loopback and in folders of its own.  What differs must stand in
docs/differences.md, whose table `findings` reads; a difference that does not, or a row of the table
that is no longer true, fails the run.
"""
