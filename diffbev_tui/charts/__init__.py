"""Charts of text: data to drawn lines."""
