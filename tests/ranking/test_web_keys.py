"""The web page in headless Chromium where API keys are set: it asks for one, sends it, and says what is missing."""

import dataclasses
import io
import shutil
import wave

import pyarrow as pa
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from feature_repo.settings import Access, ApiKey, Settings
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from tests.integration.browser import Page, chromium, shown
from tests.servers import running

READER, TELLER, BOTH = "reader-secret-0123456789", "teller-secret-0123456789", "both-secret-0123456789ab"
KEYS = {
    "reader": ApiKey(secret=READER),
    "teller": ApiKey(secret=TELLER, scopes=("events",)),
    "both": ApiKey(secret=BOTH, scopes=("read", "events")),
}
PICTURE = "return [...document.querySelectorAll('.cover img')].filter((e) => e.naturalWidth > 0).map((e) => e.src)"


@pytest.fixture(scope="module")
def browser():
    with chromium() as chrome:  # first: it skips where there is none
        yield chrome


@pytest.fixture(scope="module")
def address(browser, served, world, tmp_path_factory):
    """Of a server with keys, whose items have a picture and a sound."""
    media = tmp_path_factory.mktemp("media")
    picture, sound = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(picture, "PNG")
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(160_000))  # ten seconds of silence
    for number in range(len(world.items)):
        for name, content in ((f"images/{number}.png", picture), (f"sounds/{number}.wav", sound)):
            (media / name).parent.mkdir(exist_ok=True)
            (media / name).write_bytes(content.getvalue())
    sounds = pa.array([f"sounds/{number}.wav" for number in range(len(world.items))], pa.string())
    place = world.items.schema.get_field_index("audio")
    items = world.items.set_column(place, world.items.schema.field(place), sounds)
    home = shutil.copytree(served[0], tmp_path_factory.mktemp("keyed") / "home", symlinks=True)
    settings = Settings(home=home, api=Access(keys=KEYS))
    dataclasses.replace(world, items=items).publish(settings, "sounding").promote("sounding")
    engine = Engine(settings)
    engine.load()
    with running(create_app(engine, media_root=media)) as url:
        yield url


@pytest.fixture
def page(browser, address):
    page = Page.anew(browser, address)
    yield page
    # of refusals a browser tells by itself; nothing else, a breach of the policy above all, may be there
    assert [one for one in page.complaints() if "status of 401" not in one and "status of 403" not in one] == []


def asked(page):
    """The open question, once it is there."""
    page.until(lambda: page.all("dialog[open]"), "the question")
    return page.one("dialog h2").text


def give(page, secret):
    page.one("dialog input").send_keys(secret, Keys.ENTER)
    page.until(lambda: not page.all("dialog"), "the end of the question")


def opened(page, path, secret=READER):
    """A page that was asked for and opened by a key."""
    page.open(path)
    assert asked(page)
    give(page, secret)
    page.idle()


def test_without_a_key_the_page_asks_for_one_and_goes_on_with_it(page):
    page.open("/?user=u00")
    assert asked(page) == "This server asks for an API key"
    assert "scope “read”" in page.one("dialog p").text
    assert page.run("return document.activeElement.type") == "password"
    assert not page.all(".card:not(.skeleton)")
    give(page, READER)
    page.idle()
    assert page.one("h1").text == "For user u00"
    assert len(page.all(".card")) == 12
    page.one(".nav [data-page=items]").click()
    page.until(lambda: page.texts("h1") == ["Items"], "the next page")
    page.idle()
    assert not page.all("dialog")


def test_the_key_is_kept_for_the_tab_alone_and_stands_in_no_address(page):
    opened(page, "/items/i01")
    kept = "return [Object.values(sessionStorage), Object.values(localStorage), document.cookie, location.href]"
    assert page.run(kept) == [[READER], [], "", f"{page.address}/items/i01"]
    addresses = page.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert len(addresses) > 5
    assert not [one for one in addresses if READER in one]
    page.open("/dashboard")
    page.idle()
    assert not page.all("dialog")
    assert page.one("h1").text == "Dashboard"


def test_a_key_that_is_not_known_is_asked_for_again(page):
    page.open("/items")
    asked(page)
    page.one("dialog input").send_keys("nobody's secret", Keys.ENTER)
    page.until(lambda: page.texts("dialog h2") == ["This key is not known"], "the next question")
    page.one("dialog input").send_keys("ключ", Keys.ENTER)
    page.until(lambda: "ASCII" in "".join(page.texts("dialog [role=alert]")), "what is wrong")
    assert page.one("dialog input").get_attribute("aria-invalid") == "true"
    page.run("document.querySelector('dialog input').value = ''")
    give(page, READER)
    page.idle()
    assert len(page.all(".card")) == 40


def test_a_key_without_the_scope_is_told_which_one_is_missing(page):
    page.open("/dashboard")
    asked(page)
    page.one("dialog input").send_keys(TELLER, Keys.ENTER)
    page.until(lambda: page.texts("dialog h2") == ["This needs the scope “read”"], "the next question")
    give(page, READER)
    page.idle()
    page.open("/?user=u01")
    page.idle()
    before = page.texts(".card-title")
    page.all(".card .cover")[0].click()
    assert asked(page) == "This needs the scope “events”"
    page.one("dialog button[type=button]").click()
    page.until(lambda: "has not the scope events" in "".join(page.texts("#toast")), "what the server says")
    assert page.texts(".card-title") == before
    page.all(".card .cover")[0].click()
    asked(page)
    give(page, BOTH)
    page.until(lambda: page.texts(".card-title") != before, "another list")
    page.idle()


def test_who_gives_none_is_told_and_can_give_one_later(page):
    page.open("/items")
    asked(page)
    ActionChains(page.chrome).send_keys(Keys.ESCAPE).perform()
    page.until(lambda: page.all(".notice.bad"), "the refusal")
    assert "no API key" in page.one(".notice.bad").text
    assert not page.all("dialog")
    page.one(".notice .button").click()
    assert asked(page) == "API key"
    give(page, READER)
    page.until(lambda: len(page.all(".card")) == 40, "the items")


def test_a_key_is_forgotten_by_a_button_of_the_bar(page):
    opened(page, "/items")
    button = page.one("#key")
    assert button.get_attribute("aria-label") == "API key: set"
    button.click()
    asked(page)
    page.all("dialog button")[-1].click()
    assert asked(page) == "This server asks for an API key"
    assert page.run("return sessionStorage.length") == 0
    assert not page.all(".card")
    assert page.one("#key").get_attribute("aria-label") == "API key: none is set"


def test_pictures_and_sounds_come_with_the_key(page):
    opened(page, "/?user=u02")
    page.until(lambda: len(page.run(PICTURE)) >= 8, "pictures")
    assert all(one.startswith(f"blob:{page.address}") for one in page.run(PICTURE))
    button = page.one(".play")
    button.click()
    playing = "return performance.getEntriesByType('resource').some((e) => e.name.endsWith('/audio'))"
    page.until(lambda: page.run(playing), "the sound")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    page.run("scrollTo(0, document.body.scrollHeight)")
    page.until(lambda: len(page.run(PICTURE)) == 12, "pictures further down")
    page.open("/items/i01")
    page.idle()
    page.until(lambda: page.run(PICTURE), "the picture")
    page.one(".hero button").click()
    page.until(lambda: page.run("return document.querySelector('audio')?.currentTime > 0"), "the sound")
    assert page.run("return document.activeElement.tagName") == "AUDIO"
    assert page.shifted() < 0.1


def test_the_question_can_be_answered_by_the_keyboard_alone(page):
    page.open("/items")
    asked(page)
    keys = ActionChains(page.chrome)
    reached = []
    for _ in range(3):
        keys.send_keys(Keys.TAB).perform()
        reached.append(page.run("return document.activeElement.textContent"))
    assert reached[:2] == ["Use this key", "Cancel"]
    assert page.run("return document.activeElement.closest('main, header')") is None  # what is behind is not reached
    page.one("dialog input").send_keys(READER)
    keys.send_keys(Keys.TAB, Keys.ENTER).perform()
    page.until(lambda: len(page.all(".card")) == 40, "the items")
    page.run("document.getElementById('key').focus()")
    keys.send_keys(Keys.ENTER).perform()
    assert asked(page) == "API key"
    keys.send_keys(Keys.ESCAPE).perform()
    page.until(lambda: not page.all("dialog"), "the end of the question")
    assert page.run("return document.activeElement.id") == "key"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_question_is_named_and_can_be_read(page, scheme):
    page.emulate(scheme=scheme, motion="reduce")
    page.open("/items")
    asked(page)
    page.one("dialog input").send_keys("ü", Keys.ENTER)
    page.until(lambda: any(page.texts("dialog [role=alert]")), "what is wrong")
    assert page.faults() == {}, shown(page.faults())
    named = "const e = document.querySelector('dialog'); return [e.getAttribute('aria-labelledby'), "
    named += "e.getAttribute('aria-describedby')].map((id) => document.getElementById(id).textContent)"
    assert all(page.run(named))
    page.resize(360, 780)
    wide = (
        "return [document.documentElement.scrollWidth, document.querySelector('dialog').getBoundingClientRect().right]"
    )
    assert max(page.run(wide)) <= 360


def test_a_server_without_keys_is_never_sent_one_and_asks_for_none(browser, settled):
    with running(create_app(settled)) as url:
        page = Page(browser, url)
        page.complaints()
        page.open("/items")
        page.idle()
        assert not page.all("dialog")
        assert not page.one("#key").is_displayed()
        page.complaints()
