"""Records of a build as pages for people: tables, HTML, Markdown.  No models, no pixels."""
