-- What the nodes of one cluster share, and what they send each other while there is no Redis.

-- One row: the secret that signs what nodes send each other. Made by the first node that joins.
create table cluster_key (
  only_one boolean primary key default true check (only_one),
  key      bytea not null check (octet_length(key) = 32)
);

-- What waits for its reader: a few seconds at most, and nothing is owed after a crash, so not logged. `no` is in each sender's
-- order, since a sender has one statement in flight. Nearly all rows are dead: it is cleaned by their number, not their share.
create unlogged table bus_envelopes (
  to_node        bigint not null,
  to_incarnation bigint not null,
  no             bigint generated always as identity,
  put_at         timestamptz not null default clock_timestamp(),
  envelope       bytea not null,
  primary key (to_node, to_incarnation, no)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_threshold = -1);
-- Signed bytes do not become smaller.
alter table bus_envelopes alter column envelope set storage external;

-- The channel on which a run of a node hears that something waits for it. One a run: a node that is frozen is sent nothing that
-- is for others, so that it does not hold up what the server keeps for whoever listens.
create function bus_channel(p_node bigint, p_incarnation bigint) returns text language sql immutable as $$
  select 'rookery_bus:' || p_node || '.' || p_incarnation
$$;

-- Listens there, on this connection.
create function bus_listen(p_node bigint, p_incarnation bigint) returns void language plpgsql volatile as $$
begin
  execute format('listen %I', bus_channel(p_node, p_incarnation));
end $$;
