"""The command line: one light module a command; heavy imports happen when a command runs."""
