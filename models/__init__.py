"""The catalogue: one folder a style, holding its card, its networks and a preview."""
