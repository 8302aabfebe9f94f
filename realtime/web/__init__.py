"""`stylize serve`: a page for webcams, an overlay for OBS, and control from outside.

The whole package is the adapter of aiohttp and aiortc (optional extra ``web``): it is imported only
inside functions of `realtime.serve`, so that everything else runs without them.
"""
