"""Layers that hold the weights of M members, and how stacked tensors lie in memory."""
