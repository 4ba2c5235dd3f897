"""How we speak to Redis: connections, Cluster and Sentinel, scripts, leases."""
