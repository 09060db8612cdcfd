"""model.yml into frozen records; every complaint names file, line and column."""
