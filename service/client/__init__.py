"""The client: files → label sets, by a service that runs elsewhere.

Stands alone, and is a distribution of its own: it imports nothing of the server, only httpx2, anyio
and rich. The server takes the shapes of its answers (`schemas`), the console also the list of files
(`files`) and the progress bar (`progress`).
"""

from .client import Client, Result
from .transport import ChipvoteError

__version__ = "0.1.0"  # of `chipvote-client`; the server's own version is the same

__all__ = ["ChipvoteError", "Client", "Result"]
