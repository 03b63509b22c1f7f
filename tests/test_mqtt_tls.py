"""Who the MQTT sink trusts, and who trusts it: TLS, certificates, user and password."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish.mqtt.sink import Mqtt, try_broker
from edge_fer.settings import MqttSettings
from edge_fer.types import SinkStatus
from tests.brokers import Broker, Certificates, closing_all, need_mosquitto, wait_until
from tests.conftest import make_reading


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with a certificate that asks for none."""
    need_mosquitto()
    broker = Broker(tmp_path_factory.mktemp("tls"), certificates.listener())
    with closing_all(broker):
        yield broker


@pytest.fixture(scope="module")
def strict(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that wants to see a certificate, too."""
    need_mosquitto()
    broker = Broker(tmp_path_factory.mktemp("strict"), certificates.listener("broker", "require_certificate true"))
    with closing_all(broker):
        yield broker


def to(broker: Broker, **more: Any) -> MqttSettings:
    return MqttSettings(**{"host": "127.0.0.1", "port": broker.port, "retry_s": 0.05, "retry_max_s": 0.2, **more})


def assert_works(settings: MqttSettings) -> None:
    try_broker(settings)
    with closing(Mqtt(settings, "drone-7")) as sink:
        for frame in range(100):
            sink.publish(make_reading(frame), None)
        wait_until(lambda: sink.condition == SinkStatus("ok", sent=100))


def assert_refused(settings: MqttSettings, why: str) -> None:
    with pytest.raises(OutputError, match=why):
        try_broker(settings)
    with closing(Mqtt(settings, "drone-7")) as sink:
        sink.publish(make_reading(), None)
        wait_until(lambda: sink.condition.state == "failed")
        assert why.partition(".*")[0] in str(sink.condition.reason)
        assert sink.condition.waiting == 1


def test_a_broker_with_a_certificate_of_the_right_authority_is_trusted(tls: Broker, certificates: Certificates) -> None:
    assert_works(to(tls, tls=True, ca_file=certificates.path("ca.crt"), qos=2))


def test_a_broker_with_a_certificate_of_another_authority_is_not(tls: Broker, certificates: Certificates) -> None:
    why = "that can be trusted, found: self-signed certificate.*set publish.mqtt.ca_file"
    assert_refused(to(tls, tls=True, ca_file=certificates.path("other_ca.crt")), why)


def test_the_systems_authorities_do_not_know_ours(tls: Broker) -> None:
    assert_refused(to(tls, tls=True), "that can be trusted, found: ")


def test_the_name_in_the_certificate_must_be_the_brokers(tmp_path: Path, certificates: Certificates) -> None:
    need_mosquitto()
    broker = Broker(tmp_path, certificates.listener("elsewhere"))
    with closing_all(broker):
        why = "that can be trusted, found: IP address mismatch"
        assert_refused(to(broker, tls=True, ca_file=certificates.path("ca.crt")), why)


def test_our_certificate_is_shown(strict: Broker, certificates: Certificates) -> None:
    box = {"cert_file": certificates.path("box.crt"), "key_file": certificates.path("box.key")}
    assert_works(to(strict, tls=True, ca_file=certificates.path("ca.crt"), **box))


def test_without_our_certificate_a_broker_that_wants_one_refuses(strict: Broker, certificates: Certificates) -> None:
    why = "to accept our certificate, found: .*certificate.*mend publish.mqtt.cert_file"
    assert_refused(to(strict, tls=True, ca_file=certificates.path("ca.crt")), why)


def test_a_certificate_of_another_authority_is_refused(strict: Broker, certificates: Certificates) -> None:
    box = {"cert_file": certificates.path("other_ca.crt"), "key_file": certificates.path("other_ca.key")}
    why = "to accept our certificate, found: .*mend publish.mqtt.cert_file"
    assert_refused(to(strict, tls=True, ca_file=certificates.path("ca.crt"), **box), why)


def test_a_broker_without_tls_is_found_out(tmp_path: Path, certificates: Certificates) -> None:
    need_mosquitto()
    broker = Broker(tmp_path)
    with closing_all(broker), pytest.raises(OutputError, match=r"TLS|link to the broker|a broker at"):
        try_broker(to(broker, tls=True, ca_file=certificates.path("ca.crt")))


@pytest.mark.parametrize(
    ("name", "content"), [("none.pem", None), ("empty.pem", ""), ("text.pem", "this is no certificate\n")]
)
def test_files_that_are_no_certificates_are_refused(
    tmp_path: Path, certificates: Certificates, name: str, content: str | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"expected certificates and keys in PEM, found in .*{name}"):
        try_broker(MqttSettings(host="127.0.0.1", tls=True, ca_file=path))
    with pytest.raises(ConfigError, match=f"expected certificates and keys in PEM, found in .*{name}"):
        try_broker(MqttSettings(host="127.0.0.1", tls=True, ca_file=certificates.path("ca.crt"), cert_file=path))


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path, certificates: Certificates) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", certificates.path("box.key"), "-aes256", "-passout", "pass:secret", "-out", locked],
        check=True,
        capture_output=True,
    )
    settings = MqttSettings(host="127.0.0.1", tls=True, cert_file=certificates.path("box.crt"), key_file=locked)
    with pytest.raises(ConfigError, match="a key with a passphrase"):
        try_broker(settings)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Broker]:
    """A broker that lets `ada` in, whose password is `lovelace`."""
    need_mosquitto()
    set_password(tmp_path, "lovelace")
    broker = Broker(tmp_path, (f"password_file {tmp_path / 'users'}",), anonymous=False)
    with closing_all(broker):
        yield broker


def set_password(folder: Path, password: str) -> None:
    subprocess.run(["mosquitto_passwd", "-c", "-b", folder / "users", "ada", password], check=True, capture_output=True)
    (folder / "users").chmod(0o644)


def credentials(folder: Path, text: str) -> Path:
    path = folder / "credentials"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_user_and_password_come_from_a_file(guarded: Broker, tmp_path: Path) -> None:
    assert_works(to(guarded, credentials_file=credentials(tmp_path, "ada\nlovelace\n")))


@pytest.mark.parametrize("text", ["ada\nbyron\n", "ada\n", "charles\nlovelace\n", None])
def test_a_wrong_password_is_refused(guarded: Broker, tmp_path: Path, text: str | None) -> None:
    path = None if text is None else credentials(tmp_path, text)
    why = "to let this client in, found: not authorized; mend publish.mqtt.credentials_file"
    assert_refused(to(guarded, credentials_file=path), why)


def test_once_the_password_is_mended_at_the_broker_all_is_well(guarded: Broker, tmp_path: Path) -> None:
    settings = to(guarded, credentials_file=credentials(tmp_path, "ada\nbyron\n"))
    with closing(Mqtt(settings, "drone-7")) as sink:
        sink.publish(make_reading(), None)
        wait_until(lambda: sink.condition.state == "failed")
        set_password(tmp_path, "byron")
        guarded.reload()
        wait_until(lambda: sink.condition == SinkStatus("ok", sent=1))


def test_a_credentials_file_must_be_there_and_name_a_user(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"user and a password in .*none .*No such file"):
        try_broker(MqttSettings(host="127.0.0.1", credentials_file=tmp_path / "none"))
    with pytest.raises(ConfigError, match="a user in the first line"):
        try_broker(MqttSettings(host="127.0.0.1", credentials_file=credentials(tmp_path, "")))
