-- What a run looks at from within the database: who owned which shard, and under which claims each entry of a group was
-- appended; and what it does there: commits of messages that are refused, or take long.
-- $JOURNALS: how many journals a node has; a shard is always with the one of its number modulo that
create schema chaos;

create table chaos.mood (refuses boolean not null, waits_ms bigint not null);
insert into chaos.mood values (false, 0);

create table chaos.claimed (shard integer not null, epoch bigint not null, node bigint not null);

create function chaos.claimed() returns trigger language plpgsql as $$
begin
  insert into chaos.claimed values (new.shard, new.epoch, new.node);
  return null;
end $$;
create trigger claimed after insert or update on shard_owner for each row execute function chaos.claimed();
insert into chaos.claimed select shard, epoch, node from shard_owner;

create table chaos.appended (
  conversation_no bigint not null,
  seq             bigint not null,
  shard           integer not null,
  node            bigint not null,
  epoch           bigint not null,
  fence           bigint not null,
  epoch_then      bigint,
  fence_then      bigint,
  primary key (conversation_no, seq)
);

-- A node names itself to the database, as rookery:node:incarnation.
create function chaos.appended() returns trigger language plpgsql as $$
declare
  own_shard integer := new.conversation_no % 1024;
  own_node bigint := split_part(current_setting('application_name'), ':', 2)::bigint;
begin
  insert into chaos.appended
    select new.conversation_no, new.seq, o.shard, w.node, o.epoch, w.fence
    from shard_owner o, writers w
    where o.shard = own_shard and w.node = own_node and w.journal = own_shard % $JOURNALS;
  return null;
end $$;
create trigger appended after insert on group_messages for each row execute function chaos.appended();

-- Once a transaction: each of its rows comes by here.
create function chaos.commits() returns trigger language plpgsql as $$
declare
  mood chaos.mood;
begin
  if current_setting('chaos.commits', true) = txid_current()::text then return null; end if;
  perform set_config('chaos.commits', txid_current()::text, true);
  select * into mood from chaos.mood;
  if mood.waits_ms > 0 then perform pg_sleep(mood.waits_ms / 1000.0); end if;
  if mood.refuses and txid_current() % 3 = 0 then raise exception 'refused at the commit'; end if;
  return null;
end $$;
-- Deferred triggers of one row come in the order of their names.
create constraint trigger commits after insert on group_messages
  deferrable initially deferred for each row execute function chaos.commits();
create constraint trigger commits after insert on pair_messages
  deferrable initially deferred for each row execute function chaos.commits();

-- Nobody else writes these rows, and whoever wrote them holds the claims until the end.
create function chaos.committed() returns trigger language plpgsql as $$
begin
  update chaos.appended a set epoch_then = o.epoch, fence_then = w.fence
  from shard_owner o, writers w
  where a.conversation_no = new.conversation_no and a.seq = new.seq
    and o.shard = a.shard and w.node = a.node and w.journal = a.shard % $JOURNALS;
  return null;
end $$;
create constraint trigger committed after insert on group_messages
  deferrable initially deferred for each row execute function chaos.committed();
