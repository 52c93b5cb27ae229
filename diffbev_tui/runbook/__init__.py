"""The Runbook screen."""
