-- What nodes say of a database that was failed over.

-- The timeline of which this incarnation said that all is there that it was told is committed; null where it said
-- nothing.
alter table nodes add column found_all integer;
