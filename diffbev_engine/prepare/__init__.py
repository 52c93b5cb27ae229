"""Raw nuScenes to the data root: tables, map rasters, labels, depth ground truth."""
