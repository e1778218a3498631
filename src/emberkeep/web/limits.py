"""How often one player may call: a token bucket each, in memory, bounded, on a clock that is given."""

from __future__ import annotations

import math
from typing import Final

from emberkeep.base.identity import Principal, Role
from emberkeep.web.errors import RateLimited

_WINDOW_S: Final = 60
# A bucket takes about 200 bytes. Beyond this many players the one seen first is forgotten, which
# gives that player a full bucket: the limit protects the service, it is not an account.
_MAX_BUCKETS: Final = 100_000


class RateLimit:
    """Lets each player through `requests_per_minute` times a minute; other roles always.

    A bucket starts full, so a minute's worth may come at once. It fills again evenly.
    """

    def __init__(self, requests_per_minute: int) -> None:
        self._capacity = requests_per_minute
        self._refill_per_s = requests_per_minute / _WINDOW_S
        self._buckets: dict[str, tuple[float, float]] = {}
        self._policy = (
            b"ratelimit-policy",
            f'"player";q={requests_per_minute};w={_WINDOW_S}'.encode(),
        )

    def admit(self, principal: Principal, *, at_s: float) -> tuple[tuple[bytes, bytes], ...]:
        """Count one request at the monotonic instant `at_s`; return the headers that say what is left.

        :raises RateLimited: if nothing is left
        """
        if principal.role is not Role.PLAYER or self._capacity == 0:
            return ()
        left, seen_at_s = self._buckets.get(principal.subject) or self._open_bucket(at_s)
        left = min(self._capacity, left + (at_s - seen_at_s) * self._refill_per_s)
        if left < 1:
            raise RateLimited(
                f"more than {self._capacity} requests a minute",
                headers=self._describe(left),
                retry_after_s=math.ceil((1 - left) / self._refill_per_s),
            )
        self._buckets[principal.subject] = (left - 1, at_s)
        return self._describe(left - 1)

    def _open_bucket(self, at_s: float) -> tuple[float, float]:
        if len(self._buckets) >= _MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return float(self._capacity), at_s

    def _describe(self, left: float) -> tuple[tuple[bytes, bytes], ...]:
        full_in_s = math.ceil((self._capacity - left) / self._refill_per_s)
        return self._policy, (b"ratelimit", b'"player";r=%d;t=%d' % (left, full_in_s))
