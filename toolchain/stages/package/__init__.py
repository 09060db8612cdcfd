"""Package: one archive of a validated build, for others to check, sign, serve and load."""
