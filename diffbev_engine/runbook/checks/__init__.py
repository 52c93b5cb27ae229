"""Success criteria of steps as checks."""
