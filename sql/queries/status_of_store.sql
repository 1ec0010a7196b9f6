-- How the database stands, who owns the shards all in all, and what waits for nodes in it.
-- Standbys are none for a role that may not see them.
select (select epoch from store_identity) as epoch,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer as timeline,
       pg_current_wal_flush_lsn()::text as flushed,
       current_setting('server_version') as version,
       current_setting('synchronous_standby_names') as synchronous_standby_names,
       case when pg_has_role('pg_monitor', 'usage') then
         (select count(*) from pg_stat_replication where state = 'streaming' and sync_state in ('sync', 'quorum'))
       end as synchronous_standbys,
       w.shards, w.without_owner, w.claims,
       e.waiting, e.oldest_s
from (
  select count(*) as shards, coalesce(sum(o.epoch), 0)::bigint as claims,
         count(*) filter (where n.node is null) as without_owner
  from shard_owner o
  left join nodes n on n.node = o.node and n.incarnation = o.incarnation and n.lease_until > clock_timestamp()
) w cross join (
  select count(*) as waiting,
         (extract(epoch from clock_timestamp() - min(put_at)))::double precision as oldest_s
  from bus_envelopes
) e
