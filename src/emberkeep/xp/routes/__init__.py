"""XP over HTTP: bodies in, the slice's own values out. Who may call is declared on each route."""

from emberkeep.xp.routes.aggregates import list_daily_totals
from emberkeep.xp.routes.claims import make_hot_routes
from emberkeep.xp.routes.leaderboards import read_leaderboard, read_rank
from emberkeep.xp.routes.ledger import grant_xp, list_awards, list_entries, list_timeline, read_xp
from emberkeep.xp.routes.levels import (
    delete_levels,
    list_level_audit,
    put_levels,
    read_levels,
)
from emberkeep.xp.routes.players import (
    change_time_zone,
    list_time_zone_changes,
    put_player,
    read_player,
)
from emberkeep.xp.routes.policies import (
    list_audit,
    list_policies,
    list_versions,
    put_segments,
    read_active,
    read_difference,
    read_segments,
    read_version,
)
from emberkeep.xp.routes.policy_steps import (
    cancel_version,
    create_version,
    delete_draft,
    edit_draft,
    publish_version,
    retire_version,
    roll_back_policy,
    validate_document,
)
from emberkeep.xp.routes.questions import check_eligibility, explain_claim, preview_days
from emberkeep.xp.routes.rebuilds import rebuild_xp
from emberkeep.xp.routes.reversals import reverse_entry
from emberkeep.xp.routes.seasons import (
    create_season,
    delete_season,
    edit_season,
    list_season_audit,
    list_seasons,
    read_outlook,
    read_season,
)
from emberkeep.xp.routes.segments import (
    add_members,
    delete_segment,
    estimate_size,
    list_members,
    list_segment_audit,
    list_segments,
    put_segment,
    read_player_segments,
    read_segment,
    remove_members,
)
from emberkeep.xp.routes.simulations import simulate
from emberkeep.xp.routes.streaks import (
    grant_freezes,
    list_streak_actions,
    pause_streak,
    read_streak,
    repair_streak,
    resume_streak,
)

ROUTES = (
    check_eligibility,
    preview_days,
    explain_claim,
    put_player,
    read_player,
    change_time_zone,
    list_time_zone_changes,
    read_streak,
    list_streak_actions,
    grant_freezes,
    pause_streak,
    resume_streak,
    repair_streak,
    read_xp,
    list_entries,
    list_awards,
    list_timeline,
    grant_xp,
    rebuild_xp,
    reverse_entry,
    list_daily_totals,
    read_leaderboard,
    read_rank,
    read_active,
    list_policies,
    validate_document,
    create_version,
    list_versions,
    read_version,
    edit_draft,
    delete_draft,
    publish_version,
    cancel_version,
    retire_version,
    roll_back_policy,
    read_difference,
    list_audit,
    simulate,
    read_segments,
    put_segments,
    read_levels,
    put_levels,
    delete_levels,
    list_level_audit,
    list_seasons,
    create_season,
    read_outlook,
    read_season,
    edit_season,
    delete_season,
    list_season_audit,
    list_segments,
    read_segment,
    put_segment,
    delete_segment,
    list_segment_audit,
    list_members,
    add_members,
    remove_members,
    estimate_size,
    read_player_segments,
)

__all__ = ["ROUTES", "make_hot_routes"]
