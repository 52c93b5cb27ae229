"""The network: backbone, lift-splat view transform, BEV head, losses."""
