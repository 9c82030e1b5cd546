"""Several servers as one: replicas of :mod:`longctx.server` on as many machines as there are.

:func:`longctx.deploy.ray_serve.application` makes an application for Ray Serve (extra ``ray``).
"""
