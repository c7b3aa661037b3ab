"""What must hold wherever it is tried, tried at many places."""
