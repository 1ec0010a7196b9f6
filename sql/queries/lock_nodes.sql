-- Held to the end of the transaction: two nodes that start at once must not take one number.
lock table nodes in exclusive mode
