"""Layers that hold the weights of M members, and how hidden tensors lie in memory."""
