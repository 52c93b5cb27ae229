"""What is wrong and what to do: one kind of finding, detectors by subject."""
