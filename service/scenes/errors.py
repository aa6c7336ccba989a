"""Why a scene, or a window of it, gives no chip.

ServiceError
├── SceneError         422  the scene as a whole cannot be used
│   ├── NotAScene      415
│   └── SceneTooLarge  413
├── Skipped                 a window that shows too little; no failure
└── StartupError
    └── LackingExtra        the packages that read scenes are not installed
"""

from service.contract.errors import ServiceError, StartupError


class SceneError(ServiceError):
    """Raised when a scene has not what the bundle needs, or cannot be cut into windows."""

    status = 422
    title = "Unusable scene"


class NotAScene(SceneError):
    """Raised when an address holds no GeoTIFF that can be opened."""

    status = 415
    title = "Not a GeoTIFF"


class SceneTooLarge(SceneError):
    """Raised when reading a scene could take more memory than it may."""

    status = 413
    title = "Scene too large"


class Skipped(ServiceError):
    """Raised nowhere: it stands for the chip of a window that shows too little."""

    status = 422
    title = "Nothing to see"


class LackingExtra(StartupError):
    """Raised when the extra `scenes` is not installed."""
