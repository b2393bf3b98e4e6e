"""Google's list of models in pages, and what each model says that it can do."""

from __future__ import annotations

import pytest

from tests.api.test_gemini import check_error, google

LISTS = ["/api/v1beta/models", "/api/v1/models"]


def get(server, path, **query):
    return server.call("GET", path, headers=google(server.test_key()), params=query)


def pages(server, path, **query):
    """Every page, by the tokens, as an SDK's pager walks them."""
    found = [get(server, path, **query).json()]
    while token := found[-1].get("nextPageToken"):
        assert len(found) < 100
        found.append(get(server, path, pageToken=token, **query).json())
    return found


def names(page):
    return [model["name"].removeprefix("models/") for model in page["models"]]


@pytest.fixture(scope="module")
def ids(server):
    answer = server.call("GET", "/api/v1/models", key=server.test_key()).json()
    return [model["id"] for model in answer["data"]]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("size", [1, 7, 60])
def test_the_pages_are_the_whole_list_in_order(server, ids, path, size):
    if size == 1:
        ids = ids[:3]
        found = [get(server, path, pageSize=1).json()]
        for _ in range(2):
            found.append(get(server, path, pageSize=1, pageToken=found[-1]["nextPageToken"]).json())
    else:
        found = pages(server, path, pageSize=size)
    assert [name for page in found for name in names(page)] == ids
    assert all(len(page["models"]) == size for page in found[:-1])


@pytest.mark.parametrize("query", [{}, {"pageSize": "0"}, {"pageSize": "", "pageToken": ""}])
def test_a_page_holds_50_unless_told_otherwise(server, ids, query):
    assert names(get(server, LISTS[0], **query).json()) == ids[:50]


@pytest.mark.parametrize("size", [1000, 99_999])
def test_the_last_page_has_no_token(server, ids, size):
    (page,) = pages(server, LISTS[0], pageSize=size)
    assert names(page) == ids
    assert "nextPageToken" not in page


@pytest.mark.parametrize("token", ["x", "nonsense", "bW9kZWxzOng", "50", "é", "bW9kZWxzOi0x"])
def test_a_token_of_nobodys_is_400(server, token):
    details = check_error(get(server, LISTS[0], pageToken=token), 400)
    assert details["BadRequest"]["fieldViolations"][0]["field"] == "pageToken"


@pytest.mark.parametrize("size", ["-1", "many", "1.5", "1" * 30])
def test_a_size_that_is_none_is_400(server, size):
    details = check_error(get(server, LISTS[0], pageSize=size), 400)
    assert details["BadRequest"]["fieldViolations"][0]["field"] == "pageSize"


def test_googles_sdk_walks_all_pages(server, ids):
    from google import genai

    client = genai.Client(
        api_key=server.test_key(), http_options={"base_url": f"{server.root_url}/api"}
    )
    models = list(client.models.list(config={"page_size": 20}))
    client.close()
    assert [model.name.removeprefix("models/") for model in models] == ids
    actions = {model.name.removeprefix("models/"): model.supported_actions for model in models}
    assert "countTokens" in actions["gpt-4o"]
    assert actions["gemini-embedding-001"] == ["embedContent", "batchEmbedContents"]
