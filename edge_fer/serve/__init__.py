"""`edge-fer serve`: networks for other computers; docs/remote.md has the protocol.

    client -> connection -> [one request a client] -> turns -> device
                                    (server.py's event loop)   (threads, one a device)

    networks.py   the networks, on the devices that the settings name
    turns.py      which request is next: each client has one at most, and they take turns
    doorway.py    who may come in: the token, and how many clients
    session.py    one client's connection, from its greeting to its end
    server.py     the event loop that all connections share, in a thread of its own
    serve_run.py  a run: opens all of it, and reports how it is

The other end is `edge_fer/inference/remote/`.
"""
