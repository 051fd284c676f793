from __future__ import annotations

import threading

from remit.server.entropy import Entropy


def test_no_byte_is_given_twice() -> None:
    entropy, found, mutex = Entropy(), [], threading.Lock()

    def take() -> None:
        mine = [entropy(16) for _ in range(3000)]
        with mutex:
            found.extend(mine)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {len(each) for each in found} == {16}
    assert len(set(found)) == 12_000


def test_any_number_of_bytes() -> None:
    entropy = Entropy()
    assert [len(entropy(count)) for count in (0, 1, 16_384, 16_385, 32)] == [
        0,
        1,
        16_384,
        16_385,
        32,
    ]
