"""Pages under random rules and catalogues, checked by reading the page; and small ones with known answers."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import schema
from ranking.errors import RuleError
from ranking.strategy.arrange import Page, Pool, arrange
from ranking.strategy.diversity import Relevance
from ranking.strategy.exploration import Best, Draws, draws
from ranking.strategy.explorer import Explorer
from ranking.strategy.rules.compiler import Compiler
from ranking.strategy.rules.conditions import at
from ranking.types import UNKNOWN


def table_of(categories, makers) -> pa.Table:
    rows = [
        {"item_id": f"i{n}", "categories": mine, "maker": maker}
        for n, (mine, maker) in enumerate(zip(categories, makers, strict=True))
    ]
    return pa.Table.from_pylist(rows, pa.schema([*schema.ITEMS, pa.field("maker", pa.string())]))


def filled(rules, items, *, n_items, k, scores=None, spare=(), chance: Draws | None = None) -> Page:
    """A page from candidates, best first; what filters leave out is none of them."""
    allowed = np.ones(n_items, bool)
    for rule in rules.filters:
        allowed &= at(rule.mask, 0)
    kept = np.array([item for item in items if allowed[item]], np.int32)
    scores = np.arange(len(kept), 0, -1.0) if scores is None else scores
    boosted = [at(rule.mask, 0)[kept] for rule in rules.boosts]
    for rule, mask in zip(rules.boosts, boosted, strict=True):
        scores = scores + rule.add * mask
    rest = np.array([item for item in spare if allowed[item]], np.int32)
    pool = Pool(kept, scores, boosted, np.zeros(len(kept)), allowed, lambda: rest)
    return arrange(pool, rules, k=k, relevance=lambda: Relevance(scores), draws=chance or Best())


def ids(page: Page) -> list[int]:
    return [seat.item for seat in page.seats]


MAKERS, CATEGORIES = ["x", "y", "z"], ["a", "b", "c", "d"]
maker = st.sampled_from(MAKERS)
category = st.sampled_from(CATEGORIES)
rule_texts = st.one_of(
    st.builds('exclude where maker = "{}"'.format, maker),
    st.builds('include where categories has "{}" or maker = "{}"'.format, category, maker),
    st.builds('boost {} where categories has "{}"'.format, st.sampled_from([0.5, 3]), category),
    st.builds('pin "i{}" at {}'.format, st.integers(0, 14), st.integers(1, 8)),
    st.builds("cap {} at {}".format, st.sampled_from(["maker", "categories"]), st.integers(1, 4)),
    st.builds('cap categories = "{}" at {}'.format, category, st.integers(1, 3)),
    st.builds('quota categories = "{}" at least {}'.format, category, st.integers(1, 4)),
    st.builds('quota maker = "{}" at least {}'.format, maker, st.integers(1, 4)),
)


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.lists(category, max_size=3), st.none() | maker), min_size=15, max_size=15),
    st.lists(rule_texts, max_size=6),
    st.permutations(range(15)),
    st.integers(0, 15),
    st.integers(1, 8),
    st.sampled_from([None, Explorer.EPSILON, Explorer.THOMPSON]),
)
def test_every_rule_is_honoured_or_refused_or_told_of(catalogue, texts, order, n_candidates, k, explorer):
    categories, makers = zip(*catalogue, strict=True)
    compiler = Compiler(table_of(categories, makers))
    try:
        rules = compiler.compile(texts)
    except RuleError as error:
        assert all(fault.column >= 1 and fault.what for fault in error.faults)
        return
    chance = None if explorer is None else draws(explorer, 0.5, np.arange(5.0), seed=1)
    page = filled(rules, order[:n_candidates], n_items=15, k=k, spare=order[n_candidates:], chance=chance)
    shown, notes = ids(page), "\n".join(page.notes)
    assert len(shown) == len(set(shown)) <= k
    assert all(0 < seat.propensity <= 1 for seat in page.seats)
    allowed = np.logical_and.reduce([np.ones(15, bool), *(at(rule.mask, 0) for rule in rules.filters)])
    assert allowed[shown].all()
    counted = {"maker": Counter(makers[item] for item in shown)}
    counted["categories"] = Counter(one for item in shown for one in set(categories[item]))
    for cap in rules.caps:
        counts = counted[cap.column.name]
        codes = range(len(cap.column.labels)) if cap.code is None else [cap.code]
        assert all(counts[cap.column.labels[code]] <= cap.most for code in codes)
    for pin in rules.pins:
        followed = pin.item in shown and shown.index(pin.item) + 1 == pin.slot
        ended = pin.item in shown and shown.index(pin.item) + 1 < pin.slot and len(shown) < k
        assert followed or ended or f"{pin.text}: not followed" in notes
    for quota in rules.quotas:
        met = counted[quota.column.name][quota.column.labels[quota.code]]
        assert met >= quota.least or f"{quota.text}: {met} of {quota.least}" in notes
    if len(shown) < k:  # nothing else could come
        for item in set(np.flatnonzero(allowed).tolist()) - set(shown):
            mine = {"maker": [makers[item]], "categories": set(categories[item])}
            assert any(
                counted[cap.column.name][one] >= cap.most
                for cap in rules.caps
                for one in mine[cap.column.name]
                if cap.code is None or cap.column.labels[cap.code] == one
            )


@settings(max_examples=200)
@given(st.lists(maker, min_size=12, max_size=12), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))
def test_a_quota_is_met_as_far_as_a_cap_and_the_candidates_allow(makers, k, least, most):
    """A quota of one maker, under a cap of the single category of some items."""
    categories = [["a"] if n % 3 == 0 else [] for n in range(12)]
    compiler = Compiler(table_of(categories, makers))
    rules = compiler.compile([f'quota maker = "x" at least {least}', f"cap categories at {most}"])
    mine = [item for item in range(12) if makers[item] == "x"]
    possible = sum(1 for item in mine if item % 3) + min(most, sum(1 for item in mine if item % 3 == 0))
    page = filled(rules, range(12), n_items=12, k=k)
    assert len(page.seats) == k or len(page.seats) == 8 + min(most, 4)
    assert sum(makers[item] == "x" for item in ids(page)) >= min(least, possible, k)


def test_without_rules_the_order_stays():
    page = filled(Compiler(table_of([[]] * 5, [None] * 5)).compile([]), [3, 1, 4, 0, 2], n_items=5, k=4)
    assert ids(page) == [3, 1, 4, 0]
    assert all(seat.rules == [] and seat.propensity == 1 for seat in page.seats)
    assert page.notes == []


def small(*texts: str, k: int = 4, candidates=range(6), spare=(), scores=None) -> Page:
    """Six items of the makers x x x y y z, in that order of score, and a seventh of z."""
    table = table_of([[one] for one in "aabbcca"], list("xxxyyzz"))
    return filled(Compiler(table).compile(texts), candidates, n_items=7, k=k, spare=spare, scores=scores)


def test_a_cap_leaves_the_next_best_their_places():
    page = small("cap maker at 1", k=4)
    assert ids(page) == [0, 3, 5]
    assert page.notes == ["cap maker at 1: reached by x, y, z"]


def test_a_quota_takes_the_last_slots_only():
    page = small('quota maker = "z" at least 1')
    assert ids(page) == [0, 1, 2, 5]
    assert page.seats[3].rules == ['quota maker = "z" at least 1: from 6 to 4']


def test_a_quota_that_a_cap_would_starve_is_seated_first():
    """The only b that is left of y is taken out by a cap on b that a better item would use up."""
    page = small('cap categories = "b" at 1', 'quota maker = "y" at least 2')
    assert ids(page) == [0, 1, 3, 4]
    assert page.notes == ['cap categories = "b" at 1: reached by b']


def test_a_quota_without_candidates_is_told_of():
    page = small('quota maker = "z" at least 2')
    assert ids(page) == [0, 1, 2, 5]
    assert page.notes == ['quota maker = "z" at least 2: 1 of 2; no further candidate fits']


def test_a_boost_adds_its_logarithm_and_tells_from_where():
    page = small("boost 20 where maker = 'z'")  # 1 + log(20) = 3.996, just below the third
    assert ids(page) == [0, 1, 2, 5]
    assert page.seats[3].score == 1 + np.log(20)
    assert page.seats[3].rules == ["boost 20 where maker = 'z': from 6 to 4"]
    assert ids(small("boost 0.3 where maker = 'x'")) == [0, 1, 3, 2]  # 4 + log(.3) = 2.796


def test_a_pin_shows_what_was_no_candidate():
    page = small('pin "i6" at 2')
    assert ids(page) == [0, 6, 1, 2]
    assert page.seats[1].place == UNKNOWN
    assert page.seats[1].rules == ['pin "i6" at 2: no candidate, now at 2']


def test_a_pin_of_what_is_excluded_or_beyond_the_page_is_told_of():
    page = small('exclude where maker = "z"', 'pin "i6" at 2', 'pin "i0" at 9')
    assert ids(page) == [0, 1, 2, 3]
    assert page.notes == [
        'pin "i6" at 2: not followed, another rule leaves the item out, or it does not exist yet',
        'pin "i0" at 9: not followed, the page has 4 slots',
    ]


def test_pins_count_for_caps():
    assert ids(small("cap maker at 1", 'pin "i2" at 3', k=3)) == [3, 5, 2]


def test_a_page_is_filled_with_spare_items_that_rules_allow():
    page = small("cap maker = 'x' at 1", candidates=[0, 1, 2], spare=[6, 3], k=3)
    assert ids(page) == [0, 6, 3]
    assert page.seats[1].score == 1.0  # the least of the candidates
    assert page.seats[1].rules == ["no generator found it; the rules leave too few others"]
