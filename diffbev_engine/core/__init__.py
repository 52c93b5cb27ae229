"""What every room stands on: errors, classes, grid, files, text in two languages."""
