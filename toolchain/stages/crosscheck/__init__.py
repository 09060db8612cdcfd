"""Cross-check: prove that a checkpoint has the published weights, by a file of known digest."""
