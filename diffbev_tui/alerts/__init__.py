"""What needs attention while nobody is looking."""
