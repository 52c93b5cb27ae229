"""The Memory screen."""
