"""A look before a run of days: disk, data, GPU and machine against what the run will need."""
