"""The training loop and what keeps a days-long run safe."""
