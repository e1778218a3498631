"""Which trace a request is a part of, as W3C Trace Context says it."""

from __future__ import annotations

from typing import Annotated, Final

from litestar.params import HeaderParameter
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from emberkeep.base.identity import Principal
from emberkeep.events.service.drafts import Origin

Traceparent = Annotated[
    str | None,
    HeaderParameter(
        name="traceparent",
        description="The caller's trace (W3C Trace Context); one that cannot be read is ignored.",
    ),
]

_HEADER: Final = "traceparent"
_PROPAGATOR: Final = TraceContextTextMapPropagator()


def find_origin(principal: Principal, *, request_id: str, traceparent: str | None) -> Origin:
    """Return where the events of a request come from, as far as it does not say so itself."""
    return Origin(
        actor=principal.subject,
        correlation_id=request_id,
        traceparent=_find_traceparent(traceparent),
    )


def _find_traceparent(header: str | None) -> str | None:
    """Return the span that is under way in this process, or else the one the caller names."""
    carrier: dict[str, str] = {}
    if trace.get_current_span().get_span_context().is_valid:
        _PROPAGATOR.inject(carrier)
    elif header is not None:
        _PROPAGATOR.inject(carrier, _PROPAGATOR.extract({_HEADER: header}, Context()))
    return carrier.get(_HEADER)
