"""The ways of training a style."""
