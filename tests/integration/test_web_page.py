"""The web page in headless Chromium, served by `trichord serve` on a finished home."""

import shutil
import socket
import time

import httpx
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.integration.browser import PHONE, Page, chromium, shown

ADDRESSES = ["/", "/compare", "/items", "/dashboard"]


@pytest.fixture(scope="module")
def browser():
    with chromium() as chrome:  # first: it skips where there is none
        yield chrome


@pytest.fixture(scope="module")
def address(browser, home, trichord, tmp_path_factory):
    """Of a server on a copy of the home, as events are posted."""
    copy = shutil.copytree(home, tmp_path_factory.mktemp("web") / "home", symlinks=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = trichord.start("serve", "--home", str(copy), "--port", str(port))
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while not ready(url):
            assert process.poll() is None and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def ready(url):
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def page(browser, address):
    page = Page.anew(browser, address)
    yield page
    assert page.complaints() == []


def listed(page):
    """The items of the list at one moment, in their order."""
    return page.run('return [...document.querySelectorAll(".card")].map((e) => e.dataset.item)')


def test_a_user_is_picked_an_item_clicked_and_the_list_changes(page):
    page.open("/")
    page.idle()
    assert page.one("h1").text.startswith("For user ")
    field = page.one("input[name=user]")
    field.click()
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("u000")
    page.until(lambda: all(begins(page.texts(".picker [role=option]"), "u000")), "users with the prefix")
    field.send_keys(Keys.ARROW_DOWN, Keys.ENTER)
    chosen = field.get_attribute("value")
    assert chosen.startswith("u000")
    page.until(lambda: page.one("h1").text == f"For user {chosen}", "the user's list")
    page.idle()
    assert f"user={chosen}" in page.chrome.current_url

    before = listed(page)
    assert len(before) == 12
    clicked = before[1]
    page.all(".card .cover")[1].click()
    page.until(lambda: clicked not in listed(page), "another list")
    page.idle()
    after = listed(page)
    assert len(after) == 12
    marks = page.texts(".card > .moved")
    for place, item in enumerate(after):
        expected = "new" if item not in before else movement(before.index(item) - place)
        assert marks[place].lstrip("=▲▼ ") == expected
    seen = httpx.get(f"{page.address}/v1/dashboard").json()["traffic"]
    assert seen["events_accepted"] >= 1
    assert seen["requests"] >= 2


def begins(texts, prefix):
    """Of each text, and of none there is nothing that does."""
    return [one.startswith(prefix) and one.endswith(("event", "events")) for one in texts] or [False]


def movement(by):
    return "same" if by == 0 else f"up {by}" if by > 0 else f"down {-by}"


def test_a_click_posts_the_chosen_kind_with_its_request_and_position(page):
    page.open("/?user=u00001&device=phone")
    page.idle()
    page.run(
        "window.sent = []; const real = fetch; window.fetch = (path, init) => "
        "{ if (init?.body) sent.push([path, JSON.parse(init.body)]); return real(path, init); }"
    )
    Select(page.one("#kind")).select_by_value("like")
    page.all(".card .cover")[2].click()
    page.until(lambda: len(page.run("return sent")) == 2, "the event and the request")
    page.idle()
    (where, event), (then, request) = page.run("return sent")
    assert (where, then) == ("/v1/events", "/v1/recommendations")
    assert (event["kind"], event["position"], event["device"]) == ("like", 2, "phone")
    assert len(event["request_id"]) == 32
    assert request == {"k": 12, "explain": True, "user_id": "u00001", "context": {"device": "phone"}}


def test_a_session_grows_by_what_is_clicked_and_its_address_can_be_shared(page):
    page.open("/?who=nobody&k=5")
    page.idle()
    first = listed(page)[0]
    assert page.one("h1").text == "For nobody known"
    page.all(".card .cover")[0].click()
    page.until(lambda: page.one("h1").text == "For a session of 1 item", "the session")
    page.idle()
    address, items = page.chrome.current_url, listed(page)
    assert f"item={first}" in address and first not in items
    page.open(address.removeprefix(page.address))
    page.idle()
    assert listed(page) == items
    page.chrome.back()
    page.idle()
    assert page.one("h1").text == "For nobody known"


def test_why_an_item_is_there_and_how_long_it_took_is_shown(page):
    page.open("/?user=u00001")
    page.idle()
    page.one(".card summary").click()
    told = page.one(".card details").text
    assert "FOUND BY" in told.upper() and "#" in told
    assert page.one(".card .why").text
    assert {one.split()[0] for one in page.texts(".times li")} == {"candidates", "features", "rank", "strategy"}


def test_pictures_are_shown_and_sounds_play(page):
    page.open("/?user=u00001")
    page.idle()
    page.until(
        lambda: page.run('return [...document.querySelectorAll(".card img")].some((e) => e.naturalWidth > 0)'),
        "a picture",
    )
    button = page.one(".play")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert button.get_attribute("aria-pressed") == "false"


def test_what_the_server_refuses_is_shown_where_it_was_said(page):
    page.open("/?user=u00001&at=not-a-time")
    page.until(lambda: page.all(".notice.bad"), "the refusal")
    fault = page.one('[data-field="context.at"] .fault').text
    assert fault.startswith("context.at")
    assert page.one("#at").get_attribute("aria-invalid") == "true"
    complaints = page.complaints()
    assert complaints and all("422" in one for one in complaints)


def test_from_the_list_to_an_item_its_neighbours_and_back(page):
    page.open("/?user=u00001")
    page.idle()
    title = page.one(".card-title")
    name = title.text
    title.click()
    page.until(lambda: "/items/" in page.chrome.current_url, "the item's page")
    page.idle()
    assert page.one("h1").text == name
    assert page.run("return document.activeElement.tagName") == "H1"
    assert len(page.all(".shelf")) >= 3
    near = page.one(".shelf li a")
    other = near.get_attribute("href")
    near.click()
    page.until(lambda: page.chrome.current_url == other, "the neighbour's page")
    page.idle()
    page.chrome.back()
    page.chrome.back()
    page.idle()
    assert page.one("h1").text == "For user u00001"
    page.open("/items/no-such-item")
    page.until(lambda: page.all(".notice.bad"), "the refusal")
    complaints = page.complaints()
    assert all("404" in one for one in complaints), complaints


def test_the_same_release_compared_with_itself_agrees(page):
    page.open("/compare?user=u00001&k=6")
    page.idle()
    page.until(lambda: "6 of 6" in page.one(".agreement").text, "the overlap")
    left, right = (side.find_elements(By.CSS_SELECTOR, "a") for side in page.all(".side .list"))
    assert [one.text for one in left] == [one.text for one in right]
    assert set(page.texts(".side .moved")) == {"= same"}


def test_the_dashboard_draws_the_evaluation_and_tells_it_in_tables(page):
    page.open("/dashboard")
    page.idle()
    report = httpx.get(f"{page.address}/v1/dashboard").json()
    first = report["evaluation"]["protocols"][0]
    plot = page.one(".plot svg")
    assert len(plot.find_elements(By.CSS_SELECTOR, ".dot")) == len(first["models"])
    assert plot.find_elements(By.CSS_SELECTOR, "g.hybrid text")[0].text == "hybrid"
    page.one("details summary").click()
    rows = page.texts("details[open] tbody tr")
    hybrid = next(one for one in first["models"] if one["model"] == "hybrid")
    assert any(row.startswith(f"hybrid {hybrid['ndcg']:.3f}") for row in rows)
    assert len(page.all(".suites li")) == len(report["suites"])
    last = report["evaluation"]["protocols"][-1]["name"]
    page.run(f"document.querySelector('input[name=protocol][value={last}]').click()")
    assert f"protocol={last}" in page.chrome.current_url


@pytest.mark.parametrize("path", ["/?user=u00001", "/compare?user=u00001", "/items", "/items/i00001", "/dashboard"])
def test_a_phone_never_scrolls_sideways(page, path):
    page.resize(*PHONE)
    page.open(path)
    page.idle()
    wide = "return [document.documentElement.scrollWidth, document.body.scrollWidth]"
    assert max(page.run(wide)) <= PHONE[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["/?user=u00001&explain=0", "/compare?user=u00001", "/items", "/items/i00001", "/dashboard"]
)
def test_a_page_can_be_used_without_eyes_and_read_by_all(page, path, scheme):
    page.emulate(scheme=scheme, motion="reduce")
    page.open(path)
    page.idle()
    page.run('for (const one of document.querySelectorAll("details")) one.open = true')
    assert page.faults() == {}, shown(page.faults())


def test_who_comes_before_the_release_is_told_and_served_once_it_is_there(page):
    problem = '{"title": "x", "status": 503, "detail": "no release is loaded: it is on its way"}'
    script = (
        "let left = 2; const real = fetch; window.fetch = (path, init) => path === '/v1/choices' && left-- > 0"
        f" ? Promise.resolve(new Response('{problem}', {{ status: 503, headers: {{ 'Retry-After': '1' }} }}))"
        " : real(path, init);"
    )
    added = page.chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    page.open("/")
    page.until(lambda: "on its way" in page.one("#waiting").text, "the reason")
    page.chrome.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    page.idle()
    assert len(listed(page)) == 12
    assert not page.one("#waiting").is_displayed()


def test_nothing_jumps_while_a_page_loads(page):
    for path in ("/?user=u00001", "/items/i00001"):
        page.open(path)
        page.idle()
        assert page.shifted() < 0.1


def test_the_keyboard_alone_reaches_the_content(page):
    page.open("/?user=u00001")
    page.idle()
    ActionChains(page.chrome).send_keys(Keys.TAB).perform()
    assert page.run("return document.activeElement.className") == "skip"
    assert page.run("return document.activeElement.getBoundingClientRect().top") >= 0
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    ActionChains(page.chrome).send_keys(Keys.ENTER).perform()
    assert page.run("return document.activeElement.id") == "main"
    before = listed(page)
    page.run('document.querySelectorAll(".card .cover")[0].focus()')
    ActionChains(page.chrome).send_keys(Keys.ENTER).perform()
    page.until(lambda: listed(page) and before[0] not in listed(page), "another list")
    page.until(
        lambda: page.run('return document.getElementById("announcer").textContent').startswith("List updated"), "a word"
    )


def test_the_theme_is_the_systems_until_another_is_chosen_and_kept(page):
    page.emulate(scheme="dark")
    page.open("/items")
    page.idle()
    paper = "return getComputedStyle(document.body).backgroundColor"
    dark = page.run(paper)
    page.one("#theme").click()
    light = page.run(paper)
    assert dark != light
    page.open("/dashboard")
    page.idle()
    assert page.run(paper) == light
    assert page.one("#theme").get_attribute("aria-pressed") == "false"


def test_who_wants_nothing_to_move_sees_nothing_move(page):
    page.emulate(motion="reduce")
    page.open("/?user=u00002")
    page.idle()
    before = listed(page)
    page.run(
        "window.moving = 0; new MutationObserver(() => (moving += document.getAnimations().length))"
        '.observe(document.querySelector(".cards"), { childList: true });'
    )
    page.all(".card .cover")[0].click()
    page.until(lambda: before[0] not in listed(page), "another list")
    page.idle()
    assert page.run("return moving + document.getAnimations().length") == 0


@pytest.mark.parametrize("path", ADDRESSES)
def test_every_page_opens_without_a_word_on_the_console(page, path):
    page.open(path)
    page.idle()
    assert page.one("h1").text


READ_BADLY = """
const [name, done] = arguments;
const fetched = window.fetch;
const json = () => Promise.reject(new DOMException("", name));
window.fetch = async () => ({ ok: true, status: 200, headers: new Headers(), json });
import("/web/api.js")
  .then(({ get }) => get("/v1/choices"))
  .then(() => done("an answer"), (error) => done(error.name + ": " + error.message))
  .finally(() => { window.fetch = fetched; });
"""


def test_half_an_answer_is_none(page):
    """Neither one whose page was left while it came, nor one that was cut off."""
    page.open("/items")
    page.idle()
    assert page.chrome.execute_async_script(READ_BADLY, "AbortError").startswith("AbortError")
    assert page.chrome.execute_async_script(READ_BADLY, "SyntaxError") == "Error: HTTP 200: no JSON"
