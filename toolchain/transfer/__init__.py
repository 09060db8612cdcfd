"""Transfer from a source into a partial file beside the target: resumable and verified."""
