-- Starts a new epoch of the store.
-- $1 epoch text   $2 system_identifier bigint   $3 timeline integer
insert into store_identity (epoch, system_identifier, timeline) values ($1, $2, $3)
on conflict (only_row) do update set
  epoch = excluded.epoch, system_identifier = excluded.system_identifier, timeline = excluded.timeline
