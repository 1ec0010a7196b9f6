-- Sets the cluster's key, unless there is one.
-- $1 key bytea, 32 bytes
insert into cluster_key (key) values ($1) on conflict do nothing
