-- The cluster's key.
select key from cluster_key
