"""`edge-fer serve`: networks for other computers; docs/remote.md has the protocol.

    client -> session -> [one request a client] -> dispatcher -> device
                            (server.py's event loop)              (threads, one a device)

    networks.py     the networks, on the devices that the settings name
    dispatcher.py   which request is next: each client has one at most, and they take turns
    admission.py    which clients are served: the token, and how many
    session.py      one client's connection, from its greeting to its end
    server.py       the event loop that all connections share, in a thread of its own
    condition.py    clients and devices, as statuses report them
    serve_run.py    a run: opens all of it, and reports how it is

The other end is `edge_fer/inference/remote/`.
"""
