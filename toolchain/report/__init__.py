"""The report of a build from its records: tables, HTML, Markdown. No models, no pixels."""
