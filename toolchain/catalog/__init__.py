"""model.yml as frozen records; every error has file, line and column."""
