from service import client
from service.contract.version import __version__


def test_the_client_has_the_version_of_the_server() -> None:
    assert client.__version__ == __version__
