"""What the devices that read faces have to read as the CPU does; and the device of another computer."""

from __future__ import annotations

from collections.abc import Sequence

from edge_fer.common.backoff import Backoff
from edge_fer.common.secret_file import read_token
from edge_fer.common.tls import client_context
from edge_fer.errors import BackendError
from edge_fer.expression.classifier import Classifier
from edge_fer.expression.failover import agree
from edge_fer.expression.feature_branch import FeatureBranch
from edge_fer.expression.preprocessing import crop_tensor
from edge_fer.inference import Backend
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.remote.backend import RemoteBackend, RemoteOptions
from edge_fer.inference.remote.connection import Server
from edge_fer.inference.remote.reconnecting import Reconnecting
from edge_fer.inference.supervised import SupervisedBackend
from edge_fer.inference.supervised_tpu import Check
from edge_fer.settings import ClassifySettings
from edge_fer.types import AlignedFace


def golden_check(
    spec: ClassifierSpec, twin: Classifier, branch: FeatureBranch | None, faces: Sequence[AlignedFace]
) -> Check:
    """A check that a device reads golden faces as the CPU does.

    Args:
        spec: what the manifest says of the network.
        twin: the network on the CPU; it is not used any more afterwards.
        branch: the network's second input; None: it reads the picture alone.
        faces: the golden faces.
    """
    golden = [(face, twin.classify(face)) for face in faces]

    def check(backend: Backend) -> None:
        candidate = Classifier(twin.model, spec, backend, branch=branch)
        if not all(agree(candidate.classify(face), expected, spec.failover.tolerance) for face, expected in golden):
            raise BackendError(f"expected {backend.name} to read the golden faces as the CPU does, found other answers")

    return check


def supervise_remote(
    server: Server, settings: ClassifySettings, spec: ClassifierSpec, twin: Classifier, check: Check
) -> SupervisedBackend:
    """Open a network on another computer behind its supervisor.

    Args:
        server: the other computer.
        settings: of the classifier.
        spec: what the manifest says of the network.
        twin: the network on the CPU.
        check: raises BackendError when the device's answers are wrong.

    Raises:
        ConfigError: when the token cannot be read.
    """
    options = remote_options(settings)
    return SupervisedBackend(
        f"remote:{server}",
        (crop_tensor(spec),),
        twin.outputs,
        connect=lambda _: RemoteBackend(server, spec.sha256, options=options),
        check=check,
        policy=Reconnecting(Backoff(settings.retry_s, settings.retry_max_s), settings.steady_s),
        idle_s=settings.idle_s,
    )


def server_of(settings: ClassifySettings) -> Server | None:
    """The computer that the settings name; None where they name a device of this one.

    Args:
        settings: of the classifier.

    Raises:
        ConfigError: when a file of TLS cannot be used.
    """
    if settings.server is None:
        return None
    remote = settings.remote
    tls = client_context(remote.ca_file, remote.cert_file, remote.key_file) if remote.tls else None
    return Server(*settings.server, tls)


def remote_options(settings: ClassifySettings) -> RemoteOptions:
    """How the other computer is used.

    Args:
        settings: of the classifier.

    Raises:
        ConfigError: when the token cannot be read.
    """
    remote = settings.remote
    token = None if remote.token_file is None else read_token(remote.token_file, "classify.remote.token_file")
    return RemoteOptions(token, remote.deadline_ms / 1e3, remote.connect_s)
