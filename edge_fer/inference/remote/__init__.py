"""A network that another computer runs, over one TCP connection; docs/remote.md has the protocol.

    messages.py     what both ends say
    protocol.py     in which order, and as which bytes: pure functions for both ends
    connection.py   the client's end: TCP, TLS, and one deadline for each exchange
    backend.py      the network as a `Backend`: a handshake, and then one request at a time
    reconnecting.py when a connection that failed is opened again

The other end is `edge_fer/serve/`.
"""
