"""Everything edge-fer raises on purpose.

    EdgeFerError
    |-- ConfigError (ValueError)        settings that cannot be used                  exit 2
    |-- SourceError (OSError)           a camera, stream, file or folder              exit 3
    |   |-- SourceLost                  it worked, and then it stopped                exit 3
    |   `-- SourceRefused               it refuses the user or the password           exit 3
    |-- ModelError (ValueError)         a model file or its manifest                  exit 4
    |-- BackendError (RuntimeError)     the device that runs a network                exit 5
    |-- OutputError (OSError)           a recording or a sink that cannot be written  exit 6
    |   `-- OutputClosed                whoever read our output has gone              exit 0
    |-- ForkError (RuntimeError)        an `EdgeFer` from before a fork               exit 1
    `-- WorkerError (RuntimeError)      a supervised child process                    exit 5
        |-- WorkerCrashed               it ended by itself
        |-- WorkerFailed                it answered with an error
        |   `-- WorkerRefused           ... since a user or a password was refused
        `-- WorkerTimeout (TimeoutError)  it did not answer within its deadline

Each message is one line: what was expected, what was found, what to do next.
The exit code is what `edge-fer` returns when the error ends it.
"""


class EdgeFerError(Exception):
    """Root of all errors that edge-fer raises on purpose."""

    exit_code = 1


class ConfigError(EdgeFerError, ValueError):
    """Settings that cannot be used: unknown key, wrong value, unreadable file."""

    exit_code = 2


class SourceError(EdgeFerError, OSError):
    """A camera, stream, file or folder that cannot be opened or read."""

    exit_code = 3


class SourceLost(SourceError):
    """A source that delivered frames and then stopped; it may come back."""


class SourceRefused(SourceError):
    """A camera that refuses the user or the password; asked too often, many lock the account."""


class ModelError(EdgeFerError, ValueError):
    """A model file or manifest that is missing, corrupt or not what was expected."""

    exit_code = 4


class BackendError(EdgeFerError, RuntimeError):
    """A device or interpreter that cannot run a network."""

    exit_code = 5


class OutputError(EdgeFerError, OSError):
    """A recording or sink that cannot be written."""

    exit_code = 6


class OutputClosed(OutputError):
    """Whoever read our output has gone, as `head -1` does; an end, not a fault."""

    exit_code = 0


class ForkError(EdgeFerError, RuntimeError):
    """Use of an `EdgeFer` in a process that was forked from its own: threads and devices stay with the parent."""


class WorkerError(EdgeFerError, RuntimeError):
    """A supervised child process that failed."""

    exit_code = 5


class WorkerCrashed(WorkerError):
    """The child process ended by itself."""


class WorkerFailed(WorkerError):
    """The child process answered a call with an error."""


class WorkerRefused(WorkerFailed):
    """What the child process asked for refuses the user or the password."""


class WorkerTimeout(WorkerError, TimeoutError):
    """The child process did not answer a call within its deadline."""
