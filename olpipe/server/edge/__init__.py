"""What stands between the network and the routes: sockets, limits of connections, who may ask, ids, logs and faults."""
