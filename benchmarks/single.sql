-- The other limit, for a request that waits alone: one call of one function that does what a claim
-- does, in the simplest policy, decided in the database. No product would be written like this.
create function bench_claim(asked_id text, claimed_at timestamptz, receipt uuid) returns bigint
language plpgsql
as $$
declare
    player record;
    streak_day int;
    today text;
begin
    select users.user_id, users.reward_tz, streak.current_streak, streak.last_reward_day_id
    into player
    from xp.xp_users as users
    inner join xp.xp_streaks as streak on users.user_id = streak.user_id
    where users.external_user_id = asked_id
    for no key update of streak;

    today := ((claimed_at at time zone player.reward_tz)::date)::text;
    streak_day := case
        when player.last_reward_day_id::date = today::date - 1 then player.current_streak + 1
        else 1
    end;

    update xp.xp_streaks
    set
        current_streak = streak_day,
        longest_streak = greatest(longest_streak, streak_day),
        last_reward_day_id = today,
        updated_at = claimed_at
    where user_id = player.user_id;

    insert into xp.xp_awards (
        user_id, reward_day_id, xp_awarded, streak_day, policy_key, policy_version, receipt_id,
        model_state_snapshot, created_at
    ) values (
        player.user_id, today, 100, streak_day, 'bench', 1, receipt,
        '{"streak": {"current": 1, "longest": 1, "grace_used": 0}}', claimed_at
    );

    insert into xp.xp_ledger (
        user_id, amount, reason, correlation_id, policy_key, policy_version, balance_after,
        created_at
    )
    select
        balance.user_id, 100, 'DAILY_LOGIN', receipt, 'bench', 1, balance.current_balance + 100,
        claimed_at
    from xp.xp_balance as balance
    where balance.user_id = player.user_id
    for no key update;

    perform event_store.append_to_streams(
        array['player-' || asked_id],
        array['DailyLoginClaimed'],
        array[1],
        array[jsonb_build_object('player_id', asked_id, 'receipt_id', receipt)::text],
        array['{}'],
        claimed_at
    );

    return 100;
end
$$;
