-- Held to the end of the transaction: two nodes that start on an empty store must agree on its first epoch.
lock table store_identity in exclusive mode
