"""The run directory, the only channel between a training process and whoever watches it.

Imports nothing heavy.
"""
