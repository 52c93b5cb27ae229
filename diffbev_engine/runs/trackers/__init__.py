"""TensorBoard, Weights & Biases and SwanLab: fed from ``metrics.csv`` by processes of their own."""
