-- Does for a node that is gone what it can no longer do; the function says what that is.
-- $1 node   $2 incarnation   $3 how long our lease has to be held, in seconds
-- $4 what a time of leaving is rounded down to, in milliseconds   $5 users at most
-- Returns the node, how many sessions were ended, and whether that was all; no row when no node is gone.
select node, ended, is_done from bury_dead_node($1, $2, $3, $4, $5)
