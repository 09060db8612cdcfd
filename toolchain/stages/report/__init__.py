"""Report: HTML and Markdown from the records of a build and a few frames."""
