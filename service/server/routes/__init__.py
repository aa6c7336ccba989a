"""The routes: chips, scenes, layers, what is known of the model, its swap, and operation.

They know HTTP and the running service, nothing of start-up or of error bodies.
"""

from fastapi.routing import APIRoute

from service.server.routes import chips, layers, model, operation, scenes, swap

ROUTERS = (chips.router, scenes.router, layers.router, model.router, swap.router, operation.router)
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
