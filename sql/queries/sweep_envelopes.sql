-- Drops what nobody has taken: its reader is gone, and it is late by now.
-- $1 for how many seconds envelopes are kept
delete from bus_envelopes where put_at < clock_timestamp() - make_interval(secs => $1)
