"""What all packages build on: errors, classes, grid, files, text in two languages."""
