"""Report: the records of a build and a few frames through its models, as pages for people."""
