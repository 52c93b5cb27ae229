"""Workspaces: a folder in which every command of the runbook works as it is written; light."""
