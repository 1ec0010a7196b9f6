-- Lets the next node migrate; see lock_migrations.sql.
select pg_advisory_unlock(32210671678878329)
