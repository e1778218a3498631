"""XP over HTTP: bodies in, the slice's own values out. Who may call is declared on each route."""

from emberkeep.xp.routes.claims import check_eligibility, make_hot_routes, preview_days
from emberkeep.xp.routes.ledger import grant_xp, list_awards, list_entries, list_timeline, read_xp
from emberkeep.xp.routes.players import change_time_zone, put_player, read_player
from emberkeep.xp.routes.policies import (
    create_version,
    edit_draft,
    list_versions,
    publish_version,
    put_segments,
    read_active,
    read_segments,
    read_version,
    retire_version,
)
from emberkeep.xp.routes.seasons import create_season, list_seasons, read_season

ROUTES = (
    check_eligibility,
    preview_days,
    put_player,
    read_player,
    change_time_zone,
    read_xp,
    list_entries,
    list_awards,
    list_timeline,
    grant_xp,
    read_active,
    create_version,
    list_versions,
    read_version,
    edit_draft,
    publish_version,
    retire_version,
    read_segments,
    put_segments,
    list_seasons,
    create_season,
    read_season,
)

__all__ = ["ROUTES", "make_hot_routes"]
