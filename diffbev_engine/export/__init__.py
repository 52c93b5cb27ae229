"""A trained network for other programs: one file, checked against the network before it is written."""
