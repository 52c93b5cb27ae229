"""The data root to batches: typed samples, data order, loader."""
