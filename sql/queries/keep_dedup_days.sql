-- Makes and drops the daily partitions of dedup; the function says how.
-- $1 first day   $2 last day   $3 days before this one are dropped
select keep_dedup_days($1, $2, $3)
