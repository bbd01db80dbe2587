"""The client against a real server, and against one that fails as servers do."""

import asyncio
import inspect
import json
import random
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from feature_repo.event_log import EventLog
from feature_repo.settings import Access, ApiKey
from ranking.calls import endpoints
from ranking.client import (
    AsyncClient,
    Client,
    ForbiddenError,
    RefusedError,
    Retries,
    TooManyError,
    TrichordError,
    UnavailableError,
    UnreachableError,
)
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.feature_payloads import OnlineFeaturesRequest
from ranking.serving.payloads import PostedEvent, RankRequest, Request, RulesToCheck
from tests.servers import running

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
KEY = "a-secret-of-the-client"
QUICK = Retries(times=3, pause_s=0.01, longest_s=1.0)


class Scripted:
    """A server that answers one after the other as it is told: a status, its headers and a body, or nothing at all."""

    def __init__(self, *answers):
        self.asked = asked = []
        script = iter(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(self.rfile.read(int(self.headers["Content-Length"])))
                answer = next(script)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                content = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def problem(status, **headers):
    return status, headers, {"title": "t", "status": status, "detail": f"detail of {status}", "faults": []}


RECEIPT = (200, {}, {"accepted": 1, "duplicates": 0, "rejected": [], "fallbacks": []})
CLICK = PostedEvent(user_id="u00", item_id="i02", kind="click")


def test_every_call_answers_what_the_engine_answers(engine):
    with running(create_app(engine)) as address, Client(address) as client:
        assert client.ready().release == "first"
        answered = client.recommend(Request(user_id="u00", k=4, explain=True))
        assert answered.items == engine.recommend(Request(user_id="u00", k=4, explain=True)).items
        assert client.similar("i00", k=3) == engine.similar("i00", k=3, by="all")
        first = answered.items[0].item_id
        assert client.send_events([PostedEvent(user_id="u00", item_id=first, kind="click")]).accepted == 1
        assert first not in [item.item_id for item in client.recommend(Request(user_id="u00", k=4)).items]
        features = client.online_features(
            OnlineFeaturesRequest(features=["user_activity:user_positives"], entities={"user_id": ["u00"]})
        )
        assert features.results[1].values == [9]


def answers_of(engine, address, item):
    """What a server of this engine answers to calls that change nothing, by the call's name and arguments."""
    named = OnlineFeaturesRequest(features=["user_activity:user_positives"], entities={"user_id": ["u00", "u01"]})
    faulty = RulesToCheck(rules=["cap categories at 2", "cap nothing at 2"])
    return [
        (("live",), lambda found: found.status == "live"),
        (("ready",), lambda found: found.release == "first"),
        (("similar", item), lambda found: found == engine.similar(item, k=10, by="all")),
        (("item", item), lambda found: (found.item_id, found.title) == (item, "Title 1")),
        (("items", "title 1"), lambda found: sorted(one.item_id for one in found.items)[:3] == ["i01", "i10", "i11"]),
        (("named_items", ("i07", "i99", "i03")), lambda found: [one.item_id for one in found.items] == ["i07", "i03"]),
        (("users", "u1"), lambda found: [one.user_id[:2] for one in found.users] == ["u1"] * 10),
        (("choices",), lambda found: (found.release, found.devices) == ("first", ["mobile", "tv"])),
        (("media", item, "image"), lambda found: (found.content, found.content_type) == (PNG, "image/png")),
        (("check_rules", faulty), lambda found: found == engine.check_rules(faulty) and not found.ok),
        (
            ("rank", RankRequest(user_id="u00", items=("i02", "i03"))),
            lambda found: sorted(one.item_id for one in found.items) == ["i02", "i03"],
        ),
        (("online_features", named), lambda found: found.metadata.feature_names == ["user_id", "user_positives"]),
        (
            ("online_features_arrow", named),
            lambda found: pa.ipc.open_stream(found).read_all()["user_id"].to_pylist() == ["u00", "u01"],
        ),
        (("dashboard",), lambda found: found.keys() == httpx.get(f"{address}/v1/dashboard").json().keys()),
        (("metrics",), lambda found: "trichord_requests_total" in found),
    ]


@pytest.fixture
def pictured(settled, tmp_path):
    """The world's items name images/N.png; only that of i01 is there."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(PNG)
    return create_app(settled, media_root=tmp_path)


def test_every_endpoint_is_called_by_both_clients(settled, pictured):
    async def asked(address, name, *arguments):
        async with AsyncClient(address) as client:
            return await getattr(client, name)(*arguments)

    with running(pictured) as address, Client(address) as client:
        expected = answers_of(settled, address, "i01")
        for (name, *arguments), holds in expected:
            assert holds(getattr(client, name)(*arguments)), name
            assert holds(asyncio.run(asked(address, name, *arguments))), name
        answered = client.recommend(Request(user_id="u00", k=3))
        told = client.explanation(answered.request_id)
        assert [one.item_id for one in told.items] == [one.item_id for one in answered.items]
        assert asyncio.run(asked(address, "explanation", answered.request_id)) == told
        with pytest.raises(RefusedError, match="404: request 'nothing': its answer is not remembered here"):
            client.explanation("nothing")
        with pytest.raises(RefusedError, match="404: item 'i02': no image is kept"):
            client.media("i02", "image")
        with pytest.raises(RefusedError, match=r"404.*a/b"):
            client.item("a/b")


def test_no_endpoint_is_left_out_and_both_clients_have_the_same_calls(settled):
    def calls(client):
        found = inspect.getmembers(client, inspect.isfunction)
        return {name: inspect.signature(one).parameters for name, one in found if not name.startswith("_")}

    sync, anew = calls(Client), calls(AsyncClient)
    del sync["close"], anew["aclose"]
    assert sync == anew
    source = inspect.getsource(endpoints).replace("{_segment(item_id)}", "{item_id}")
    source = source.replace("{_segment(request_id)}", "{request_id}")
    paths = create_app(settled).openapi()["paths"]
    assert paths.keys() == {path for path in paths if f'"{path}"' in source}


def test_the_asynchronous_client_answers_the_same(settled):
    async def asked(address):
        async with AsyncClient(address) as client:
            ready, answered, near = await asyncio.gather(
                client.ready(), client.recommend(Request(user_id="u00", k=4)), client.similar("i00", k=3)
            )
            with pytest.raises(RefusedError, match="not in release"):
                await client.similar("no such item")
            return ready.release, answered.items, near

    with running(create_app(settled)) as address:
        release, items, near = asyncio.run(asked(address))
    assert release == "first"
    assert items == settled.recommend(Request(user_id="u00", k=4)).items
    assert near == settled.similar("i00", k=3, by="all")


def test_problems_are_exceptions_that_say_what_is_wrong(settled):
    settings = settled.settings.model_copy(update={"api": Access(keys={"page": ApiKey(secret=KEY)})})
    engine = Engine(settings, wall=settled._wall, served=settled.served)
    engine.load()
    with running(create_app(engine)) as address:
        with Client(address) as nobody, pytest.raises(ForbiddenError, match="401: no API key") as caught:
            nobody.recommend(Request())
        assert caught.value.status == 401
        with Client(address, key=KEY) as client:
            assert client.recommend(Request()).items
            with pytest.raises(RefusedError, match="'i99' is not in the catalogue") as refused:
                client.recommend(Request(session=("i99",)))
            assert refused.value.status == 422
            with pytest.raises(ForbiddenError, match="has not the scope events"):
                client.send_events([CLICK])


def test_events_that_are_sent_again_count_once():
    with Scripted(None, problem(503), problem(429, **{"Retry-After": "0"}), RECEIPT) as server:
        with Client(server.address, retries=QUICK) as client:
            assert client.send_events([CLICK, CLICK]).accepted == 1
        bodies = [json.loads(body) for body in server.asked]
    assert len(bodies) == 4
    assert all(body == bodies[0] for body in bodies)
    assert len({event["event_id"] for event in bodies[0]}) == 2


def test_an_id_of_ones_own_is_kept(home, engine):
    event = CLICK.model_copy(update={"event_id": "mine"})
    with running(create_app(engine)) as address, Client(address) as client:
        assert client.send_events([event]).accepted == 1
        assert client.send_events([event]).duplicates == 1
    assert "mine" in EventLog(home.events).ids()


@pytest.mark.parametrize(
    ("status", "kind", "tries"), [(503, UnavailableError, 4), (429, TooManyError, 4), (500, UnavailableError, 1)]
)
def test_only_what_may_pass_is_tried_again_and_not_for_ever(status, kind, tries):
    with Scripted(*[problem(status)] * 9) as server, Client(server.address, retries=QUICK) as client:
        with pytest.raises(kind, match=f"detail of {status}"):
            client.recommend(Request())
        assert len(server.asked) == tries


def test_the_servers_pause_is_kept_unless_it_is_too_long():
    with Scripted(problem(429, **{"Retry-After": "1"}), problem(503, **{"Retry-After": "60"})) as server:
        started = time.monotonic()
        with Client(server.address, retries=QUICK) as client, pytest.raises(UnavailableError) as caught:
            client.recommend(Request())
        assert time.monotonic() - started >= 1
        assert caught.value.retry_after_s == 60
        assert len(server.asked) == 2


def test_pauses_grow_and_differ():
    error = UnreachableError("gone")
    retries = Retries(times=8, pause_s=0.1, longest_s=1.0, draw=random.Random(0))
    pauses = [retries.pause(tried, error) for tried in range(1, 9)]
    for place, pause in enumerate(pauses):
        whole = min(0.1 * 2**place, 1.0)
        assert whole / 2 <= pause <= whole
    with pytest.raises(UnreachableError, match="gone"):
        retries.pause(9, error)
    assert len(set(pauses)) == len(pauses)


def test_nobody_there_and_somebody_else_are_told_apart():
    with (
        Client("http://127.0.0.1:1", retries=QUICK) as client,
        pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1"),
    ):
        client.ready()
    with Scripted((200, {}, {"hello": "world"}), (404, {}, "page")) as server, Client(server.address) as client:
        with pytest.raises(TrichordError, match="is that a Trichord server"):
            client.recommend(Request())
        with pytest.raises(RefusedError, match="404"):
            client.recommend(Request())


def test_the_client_imports_nothing_heavy():
    code = (
        "import sys, ranking.client\n"
        "heavy = {'torch', 'lightgbm', 'feast', 'numpy', 'pandas', 'pyarrow', 'duckdb', 'fastapi', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "[]"
