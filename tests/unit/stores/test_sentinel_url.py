import pytest

from cardex.domain.errors import ConfigurationError
from cardex.stores.broker import celery_app
from cardex.stores.redis import SentinelUrl

URL = "sentinel://cardex:p%2Fw@one:26380,two/2?master=state&sentinel_password=s"


def test_a_sentinel_url_says_where_they_are_and_what_they_watch():
    found = SentinelUrl.of(URL)
    assert found == SentinelUrl((("one", 26380), ("two", 26379)), "state", 2, "cardex", "p/w", "s")


def test_another_scheme_is_no_sentinel_url():
    assert SentinelUrl.of("redis://:p@one:6379/0") is None


@pytest.mark.parametrize("url", ["sentinel://one:26379/0", "sentinel:///0?master=m",
                                 "sentinel://one:x/0?master=m"])  # fmt: skip
def test_a_sentinel_url_that_is_not_whole_is_refused_without_its_password(url):
    with pytest.raises(ConfigurationError, match="master=NAME"):
        SentinelUrl.of(url)


def test_the_broker_asks_the_same_sentinels_whatever_stands_in_the_password():
    app = celery_app(URL)
    assert app.conf.broker_url == (
        "sentinel://cardex:p%2Fw@one:26380/2;sentinel://cardex:p%2Fw@two:26379/2"
    )
    assert app.conf.broker_transport_options["master_name"] == "state"
