"""GPU memory: what ran out, how much a batch needs, what to change; light at import."""
