"""The connector of docs/connectors.md, installed as its package would be, on the real cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flux_actors.connectors.vault import new_key
from tests.unit.connectors.fake_api import Asked, FakeApi, Reply, serving_beside

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
DOCUMENT = Path(__file__).parents[2] / "docs" / "connectors.md"
KEY = "a-weather-key"


def block(language: str) -> str:
    """Return the code of the document in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder as `pip install` leaves it: the module, and what the package says of itself."""
    folder = tmp_path / "site"
    described = folder / "weather_connector-1.0.dist-info"
    described.mkdir(parents=True)
    (folder / "weather_connector.py").write_text(block("python"))
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: weather-connector\nVersion: 1.0\n")
    group, name, value = re.findall(r'entry-points."([^"]+)"\]\n(\w+) = "([^"]+)"', block("toml"))[0]
    (described / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    return folder


@pytest.fixture
def stations() -> Iterator[FakeApi]:
    def answer(asked: Asked) -> Reply:
        if asked.headers.get("x-api-key") != KEY:
            return Reply.of({}, 401)
        if asked.headers.get("if-none-match") == '"v1"':
            return Reply(304, b"")
        return Reply.of({"stations": [{"name": "mitte", "celsius": 21}]}, ETag='"v1"')

    with serving_beside(answer) as api:
        yield api


def test_the_example_of_the_document_works(make_flux, installed, stations, eventually):
    environment = {
        "PYTHONPATH": str(installed),
        "FLUX_CONNECTORS_ALLOW_PRIVATE": "true",
        "FLUX_ENCRYPTION_KEY": new_key(),
    }
    flux = make_flux([], environment)
    flux.start()
    path = "/api/connectors/weather"
    with httpx.Client(base_url=flux.url, timeout=15) as http:
        listed = http.get("/api/connectors").json()["connectors"]
        assert [row["name"] for row in listed] == ["github", "gmail", "linkedin", "calendar", "weather"]
        body = {"token": KEY, "settings": {"url": stations.url}}
        assert http.post(f"{path}/token", json=body).json() == {"success": True}
        entity = "/api/state/entities/default/weather/mitte"
        eventually(lambda: http.get(entity).status_code == 200, 30, "the station")
        assert http.get(entity).json()["properties"] == {"celsius": 21}

        def told(status: str) -> Any:
            detail = http.get(path).json()
            return detail if detail["status"] == status else None

        assert eventually(lambda: told("configured"))["poll_interval_seconds"] == 300
        http.post(f"{path}/token", json=body | {"token": "wrong"})
        assert "refused the token (401)" in eventually(lambda: told("error"), 15)["last_error"]
        http.post(f"{path}/token", json={"token": KEY})  # without the settings that it needs
        fault = "the connector met a fault of its own (KeyError)"
        eventually(lambda: (told("error") or {}).get("last_error") == fault, 15, "the fault")
