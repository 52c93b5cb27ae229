"""The first screen without a workspace."""
