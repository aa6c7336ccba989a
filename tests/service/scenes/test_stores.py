"""Addresses and what may be told of them; what reads objects is tested where it is used."""

import sys

import pytest
from obstore.store import AzureStore, HTTPStore, S3Store

from service.scenes import stores
from service.scenes.errors import LackingExtra
from service.scenes.stores import is_stored, shown, store_of, told, unsigned


@pytest.mark.parametrize(
    "address",
    [
        "https://bucket.s3.us-west-2.amazonaws.com/a/b.tif",
        "https://s3.us-west-2.amazonaws.com/bucket/b.tif",
        "https://account.blob.core.windows.net/container/b.tif?sv=1&sig=S3CRET",
        "https://storage.googleapis.com/bucket/b.tif",
        "http://host.example/b%20c.tif",
    ],
)
def test_a_web_address_is_fetched_as_it_stands(address: str) -> None:
    store, key = store_of(address)
    assert isinstance(store, HTTPStore)
    assert key == address.partition("?")[0].split("/", 3)[3].replace("%20", " ")


def test_a_bucket_is_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for address, kind in (("s3://bucket/a/b.tif", S3Store), ("az://container/a/b.tif", AzureStore)):
        store, key = store_of(address)
        assert isinstance(store, kind) and key == "a/b.tif"


def test_paths_are_not_stored() -> None:
    assert not any(map(is_stored, ("a.tif", "/vsicurl/https://a/b.tif", "ftp://a/b.tif", "file://a")))


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("https://me:S3CRET@host/a.tif", "https://host/a.tif"),
        ("HTTPS://S3CRET@host/a.tif?n=1", "HTTPS://host/a.tif?n=1"),
        (
            "https://host/a.tif?X-Amz-Date=1&X-Amz-SignedHeaders=h&X-Amz-Signature=S3CRET",
            "https://host/a.tif",
        ),
        ("https://host/a.tif?Expires=1&Signature=S3CRET&Key-Pair-Id=2", "https://host/a.tif"),
        ("https://host/a.tif?sv=1&se=2&skoid=3&sig=S3CRET", "https://host/a.tif"),
        ("https://host/chip?id=7&access_token=S3CRET&se=9", "https://host/chip?id=7&se=9"),
        ("https://host/tile?x=1&y=2", "https://host/tile?x=1&y=2"),
        ("https://host/get?key=tiles/17.tif&design=3", "https://host/get?key=tiles/17.tif&design=3"),
        ("https://host/map?x=1&key=S3CRETS3CRETS3CRET", "https://host/map?x=1"),
        ("sftp://me:S3CRET@host/a.tif", "sftp://host/a.tif"),
        ("abfs://container@account.dfs.core.windows.net/a.tif", None),
        ("s3://bucket/a.tif", None),
        ("folder/a?key=1.tif", None),
    ],
)
def test_secrets_are_not_shown(address: str, left: str | None) -> None:
    assert unsigned(address) == (left or address)
    assert shown(address) == (left.partition("?")[0] if left else address)


@pytest.mark.parametrize(
    ("said", "told_as"),
    [
        (
            "Object at location  not found: Error performing GET https://h/a?sig=S3CRET in 3ms - "
            "Server returned non-2xx status code: 404 Not Found: \n\nDebug source:\nuri: https://h/a?sig=S3CRET",
            "the store answers 404 Not Found",
        ),
        (
            "Error performing GET https://h/a in 3ms - Server returned non-2xx status code: 403 Forbidden: "
            "<Error><Code>ExpiredToken</Code></Error>",
            "the store answers 403 Forbidden, ExpiredToken",
        ),
        (
            "error sending request for url (https://me:S3CRET@h/a?sig=S3CRET,S3CRET): timed out\nmore",
            "error sending request for url (https://h/a): timed out",
        ),
        ("", "RuntimeError"),
    ],
)
def test_a_store_s_words_are_told_without_secrets(said: str, told_as: str) -> None:
    assert told(RuntimeError(said)) == told_as


def test_without_the_extra_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    stores._store.cache_clear()
    with pytest.raises(LackingExtra, match=r"pip install 'chipvote\[scenes\]'"):
        store_of("s3://bucket/scene.tif")
