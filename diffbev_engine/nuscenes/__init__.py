"""nuScenes as it is on disk: tables, maps, splits, and the check against the devkit."""
