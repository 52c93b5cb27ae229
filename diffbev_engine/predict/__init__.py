"""A trained model on anybody's own images: the camera, the frames, the map, and what is written of it."""
