"""How much of everything: the agent's limits, in one place. docs/reference/agent-protocol.md lists them."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_KERNELS = 64
MAX_TERMINALS = 32
MAX_PEERS = 64
MAX_KERNELSPECS = 64
MAX_SPEC_BYTES = 64 * 1024
MAX_RESOURCE_BYTES = 1024 * 1024
MAX_NAME_CHARACTERS = 255
MAX_PATH_CHARACTERS = 4096
MAX_ENV_ENTRIES = 64
MAX_ENV_CHARACTERS = 8192
MAX_INPUT_CHARACTERS = 1024 * 1024
MAX_FAREWELL_CHARACTERS = 500
MAX_HEADER_BYTES = 64 * 1024
"""A kernel's message header larger than this is not looked at."""
MAX_SPARES = 4
MOST_RESTARTS = 1000
MOST_RESTARTS_WITHIN = 24 * 60 * 60
MAX_EXECUTIONS = 2000
"""Of one kernel's process; the oldest are forgotten."""
MAX_EXECUTION_CHARACTERS = 64 * 1024
MAX_EXECUTIONS_BYTES = 4 * 1024 * 1024
MAX_EXECUTIONS_ANSWER_CHARACTERS = 256 * 1024
"""How much code one answer holds: escaped as JSON at its worst, and with one whole execution more, still a message."""
MAX_CODE_BYTES = 1024 * 1024
"""A message with more code than this is counted and not looked at."""
MAX_JOBS = 8
"""How many programs run at once."""
MAX_ENDED_JOBS = 16
MAX_JOB_ARGUMENTS_BYTES = 64 * 1024
MAX_JOB_LINE_BYTES = 64 * 1024
MAX_JOB_OUTPUT_BYTES = 4 * 1024 * 1024
"""How much of a program's output is kept."""
MAX_JOB_READ_BYTES = 512 * 1024
"""How much of it one answer gives: escaped as JSON at its worst, still a message."""

JOURNAL_BYTES = 64 * 1024 * 1024
"""Of one kernel, unless KERNELHUB_JOURNAL_BYTES says otherwise."""
LEAST_JOURNAL_BYTES = 64 * 1024
MOST_JOURNAL_BYTES = 256 * 1024 * 1024
MAX_JOURNAL_RECORD_BYTES = 64 * 1024 * 1024
MAX_JOURNAL_PARTS = 4096
MAX_JOURNAL_SEGMENTS = 64
MAX_NOTE_CHARACTERS = 1024
MAX_RUNNING_CELLS = 64
"""Requests whose parent header is kept, so that they can be closed when the kernel dies."""
MAX_PARENT_BYTES = 16 * 1024
JOURNAL_BATCH_BYTES = 4 * 1024 * 1024
"""So much is held at most before it is written; one larger message is written alone."""
JOURNAL_ROOM_BYTES = 1024
"""What a segment needs beside one message: its beginning, and a GAP."""

PEER_SILENCE_SECONDS = 60.0
HEARTBEAT_SECONDS = 5.0
"""How often every kernel is asked for signs of life."""
IOPUB_QUEUE = 10_000
"""Messages that wait for the agent at most; more are kept by the kernel's own queue, and then dropped by it."""
IOPUB_BATCH = 500
"""Messages that are taken before others have their turn."""
IOPUB_BATCH_BYTES = 4 * 1024 * 1024
LAST_WORDS_SECONDS = 1.0
"""How long a dead kernel's IOPub is waited for to end: a child that it left may hold it open."""
NOTICE_SECONDS = 0.15
"""Between the news that a kernel is about to be ended and the first that it feels of it: proxies stop listening."""
LAST_LOOK_SECONDS = 0.5
"""How long a kernel that was ended while a cell ran is still there: proxies read why, before its journal is removed."""
SYNC_SECONDS = 0.5
"""How long a kernel that prints without end is read for one answer to ``journal.sync``."""
START_SECONDS = 120.0
"""A kernel that has not answered by then is taken for failed."""
ADOPTION_SECONDS = 10.0
"""A spare that has not taken its new folder by then is killed, and a kernel started as usual."""
TAIL_BYTES = 8 * 1024
"""How much of a kernel's own stdout and stderr is kept, for the reason why it died."""
SCROLLBACK_CHARACTERS = 256 * 1024
SOCKET_PATH_BYTES = 107
"""The longest path of a Unix socket on Linux."""
