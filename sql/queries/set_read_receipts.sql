-- Sets whether an app's authors hear who has read.
-- $1 app integer   $2 boolean
-- Returns the app, if it is there.
update apps set read_receipts = $2 where app = $1 returning app
