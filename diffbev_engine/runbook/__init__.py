"""The runbook: phases, steps, checks and known problems as data; their state; the runner.

Imports nothing heavy.
"""
