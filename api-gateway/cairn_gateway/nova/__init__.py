"""The Compute API (Nova's v2.1). `routes.py` lists what is served; a module, or a folder,
per resource serves it.
"""
