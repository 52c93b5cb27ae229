"""The GPU screen."""
