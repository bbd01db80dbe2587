"""The dashboard's JSON: nothing evaluated, something evaluated, something wrong."""

import json
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ranking.errors import ArtifactError
from ranking.serving.app import create_app
from ranking.serving.evaluation_summary import EVALUATION, read_summary, save_summary, summary_of
from ranking.serving.payloads import Receipt, Refused, Response, Timings
from ranking.serving.traffic import LATEST, Traffic


def metrics(ndcg):
    return {"users": 9, "ndcg@10": ndcg, "recall@10": 0.5, "ci95": {"ndcg@10": [ndcg - 0.1, ndcg + 0.1]}}


def change(relative, ci):
    return {"ndcg@10": 0.1, "relative": relative, "ci95": ci, "difference": 0.0, "difference_ci95": [0.0, 0.0]}


REPORT = {
    "release": None,
    "dataset": "camps",
    "k": 10,
    "seeds": [0],
    "protocols": {
        "p1": {
            "split": {"rule": "one cutoff for all", "share": 0.2},
            "users": 9,
            "items": 40,
            "cold_item_share": 0.25,
            "models": {
                "hybrid": metrics(0.3),
                "hybrid-text": metrics(0.29),
                "hybrid_spread": metrics(0.2),
                "ease": metrics(0.25),
                "popular": metrics(0.2),
                "oracle": metrics(0.4),
            },
            "slices": {
                "warm_items": {"hybrid": metrics(0.3), "ease": metrics(0.25), "popular": metrics(0.26)},
                "cold_items": {"hybrid": metrics(0.3), "oracle": metrics(0.5)},
            },
            "ablation": {"text": change(-0.03, [-0.05, -0.01]), "image": change(None, None)},
            "comparisons": {
                "ease": {"p_holm": 0.01},
                "popular": {"p_holm": 0.01},
                "oracle": {"p_holm": None},
                "hybrid-text": {"p_holm": None},
            },
            "hybrid_vs_best_baseline": {"baseline": "ease", "relative": 0.2, "ci95": [0.1, 0.3]},
        }
    },
}


@pytest.fixture
def client(settled):
    return TestClient(create_app(settled))


def test_a_release_that_was_never_evaluated_says_so(client):
    body = client.get("/v1/dashboard").json()
    assert (body["evaluation"], body["evaluation_fault"], body["suites"]) == (None, "", [])
    assert [one["id"] for one in body["releases"]] == ["first"]
    assert [(one["action"], one["id"]) for one in body["history"]] == [("promote", "first")]
    assert (body["release"], body["dataset"], body["refused"]) == ("first", "two camps", "")


def test_freshness_tells_of_every_view(client):
    body = client.get("/v1/dashboard").json()
    assert body["freshness_fault"] == ""
    views = {one["view"]: one for one in body["freshness"]}
    assert {"item_content", "user_activity", "item_popularity"} <= set(views)
    assert all(one["age_s"] >= 0 for one in views.values() if one["age_s"] is not None)
    assert views["user_activity"]["online"] and views["user_activity"]["ok"]


def test_the_summary_ranks_baselines_the_hybrid_and_the_oracle_alone():
    (found,) = summary_of(json.dumps(REPORT).encode()).protocols
    assert [one.model for one in found.models] == ["oracle", "hybrid", "ease", "popular"]
    assert found.baselines == ["ease", "popular"]
    assert (found.lift.baseline, found.lift.ci95) == ("ease", (0.1, 0.3))
    assert [(one.name, one.hybrid.ndcg, one.baseline.model) for one in found.slices] == [("warm_items", 0.3, "popular")]
    assert [(one.part, one.relative, one.ci95) for one in found.ablation] == [
        ("text", -0.03, (-0.05, -0.01)),
        ("image", None, None),
    ]


def test_a_saved_summary_is_read_as_it_was(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    assert read_summary(tmp_path) is None
    save_summary(tmp_path, tmp_path / "report.json")
    assert read_summary(tmp_path) == summary_of(json.dumps(REPORT).encode())


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"dataset": 1, "protocols": {}}', "\0"])
def test_what_is_no_report_is_refused(text):
    with pytest.raises(ArtifactError, match="run `trichord run` again"):
        summary_of(text.encode())


def test_the_releases_own_summary_wins_over_the_homes_report(engine, home):
    client = TestClient(create_app(engine))
    home.reports.mkdir(exist_ok=True)
    (home.reports / EVALUATION).write_text(json.dumps(REPORT | {"seeds": [7]}))
    assert client.get("/v1/dashboard").json()["evaluation"]["seeds"] == [7]
    own = home.reports / "own.json"
    own.write_text(json.dumps(REPORT))
    save_summary(home.releases / "first", own)
    assert client.get("/v1/dashboard").json()["evaluation"]["seeds"] == [0]


def test_damage_is_told_and_hides_nothing_else(engine, home):
    client = TestClient(create_app(engine))
    home.reports.mkdir(exist_ok=True)
    (home.reports / EVALUATION).write_text("torn")
    shutil.rmtree(home.lake / "features", ignore_errors=True)
    body = client.get("/v1/dashboard").json()
    assert body["evaluation"] is None
    assert "trichord run" in body["evaluation_fault"]
    assert body["freshness_fault"] or body["freshness"]
    assert body["releases"]


def timings(total):
    return Timings(features=0.1, candidates=0.2, rank=0.3, strategy=0.4, total=total)


def response(total, fallbacks=()):
    return Response(
        request_id="r",
        release="first",
        user_id=None,
        fallbacks=list(fallbacks),
        items=[],
        rules=[],
        timings_ms=timings(total),
    )


def test_traffic_is_counted_with_the_percentiles_of_the_latest_requests():
    traffic = Traffic(datetime(2024, 1, 1, tzinfo=UTC))
    assert (traffic.report().stages, traffic.report().requests) == ([], 0)
    totals = np.random.default_rng(0).exponential(5, LATEST + 50).tolist()
    for total in totals:
        traffic.answered(response(total, ["unknown_user"] if total > 10 else []))
    found = traffic.report()
    assert found.requests == LATEST + 50
    (total,) = [one for one in found.stages if one.stage == "total"]
    assert total.p50 == round(float(np.percentile(totals[50:], 50)), 3)
    assert total.p99 == round(float(np.percentile(totals[50:], 99)), 3)
    assert found.latest_ms == totals[-len(found.latest_ms) :]
    assert found.fallbacks == {"unknown_user": sum(one > 10 for one in totals)}


def test_events_are_counted_by_what_became_of_them():
    traffic = Traffic(datetime(2024, 1, 1, tzinfo=UTC))
    traffic.received(Receipt(accepted=2, duplicates=1, rejected=[Refused(index=0, reason="no")], fallbacks=[]))
    traffic.received(Receipt(accepted=1, duplicates=0, rejected=[], fallbacks=[]))
    found = traffic.report()
    assert (found.events_accepted, found.events_duplicate, found.events_rejected) == (3, 1, 1)


def test_the_servers_own_traffic_is_shown(engine):
    client = TestClient(create_app(engine))
    client.post("/v1/recommendations", json={"user_id": "nobody"})
    client.post("/v1/events", json={"user_id": "u", "item_id": "i00", "kind": "no"})
    seen = client.get("/v1/dashboard").json()["traffic"]
    assert (seen["requests"], seen["fallbacks"], seen["events_rejected"]) == (1, {"unknown_user": 1}, 1)
