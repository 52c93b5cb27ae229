"""Streamed counts, per-class IoU and mIoU."""
