"""What is wrong with a segmentation: labels, calibration and predictions held against known signatures."""
