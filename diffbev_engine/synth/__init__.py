"""A small synthetic world in the nuScenes format."""
