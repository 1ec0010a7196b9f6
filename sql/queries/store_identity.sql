-- The identity under which the store's epoch was set, locked until the transaction ends.
select epoch, system_identifier, timeline from store_identity for update
