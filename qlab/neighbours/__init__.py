"""The neighbours of quantization: other ways to make a network smaller, and what they do together."""
