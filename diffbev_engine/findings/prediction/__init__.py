"""Segmentation diagnosis: compares labels, calibration and predictions with known failure signatures."""
