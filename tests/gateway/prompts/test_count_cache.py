from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from gateway.prompts.count_cache import CountCache, Counted, CountKey


def key(number: int) -> CountKey:
    return CountKey("tiled o200k_base", number.to_bytes(16, "big"))


def test_what_was_not_asked_for_the_longest_is_forgotten() -> None:
    cache = CountCache(entries_kept=2)
    cache.put(key(1), Counted(10))
    cache.put(key(2), Counted(20, elsewhere=True))
    assert cache.get(key(1)) == Counted(10)
    cache.put(key(3), Counted(30))
    assert [cache.get(key(number)) for number in (1, 2, 3)] == [Counted(10), None, Counted(30)]


def test_ways_of_counting_are_kept_apart() -> None:
    cache = CountCache()
    cache.put(key(1), Counted(10))
    assert cache.get(key(1)._replace(profile="other o200k_base")) is None


def test_threads_may_share_it_and_it_stays_within_its_size() -> None:
    cache = CountCache(entries_kept=8)

    def use(start: int) -> bool:
        for number in range(start, start + 500):
            cache.put(key(number % 16), Counted(number % 16))
            cache.get(key((number + 8) % 16))
        return all((found := cache.get(key(number))) is None or found.tokens == number for number in range(16))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(4)))
    assert len(cache) == 8
