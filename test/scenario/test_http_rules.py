"""The rules of rules_9110.py and rules_9112.py, each a test. Rules of the cache: test_cache.py; what is refused by the form of a
request is in test/corpus, too, row by row."""

import pytest

import rules_9110  # noqa: F401 - its rules
import rules_9112  # noqa: F401
from rulesbed import RULES, World

BROKEN = []


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    it = World(tmp_path_factory.mktemp("rules"))
    yield it
    it.end()


@pytest.mark.promise
@pytest.mark.parametrize("number", range(len(RULES)), ids=[f"{s} {t[:60]}" for s, t, _ in RULES])
def test_rule(world, number):
    section, text, function = RULES[number]
    BROKEN.append(f"{section}: {text}")
    function(world)
    BROKEN.pop()


@pytest.mark.promise
def test_the_rules_together(promise):
    """Behind all of them: the count."""
    promise("HTTP rules", f"{len(RULES)} of RFC 9110 and 9112 tried, {len(BROKEN)} broken{': ' + '; '.join(BROKEN) if BROKEN else ''}",
            not BROKEN)
