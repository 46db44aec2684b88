"""The spawner: a process of its own, the only one with access to the container engine.

The engine's socket is root on its machine, so it does not belong into a process that faces the network. The hub asks
this process for containers by user, workspace and profile (`hub.spawn.wire`); what a container is made of is decided
here, from the configuration, and whatever else is asked for is refused and logged.

    __main__   the process: reads its rules, listens, ends
    rules      what the configuration says, as plain values
    decide     from a request and the rules to a container's specification, or a refusal (pure)
    owners     which number, and so which uid, belongs to which user: written once, never changed
    ground     whether folders are what they must be: real folders of that uid
    service    requests, performed
    server     the socket: who may connect, how much, how long
    confine    starts hub and proxy where the engine cannot be reached

Nothing of the hub's web, store or sign-in is imported here, and no pydantic: it stays small.
"""
