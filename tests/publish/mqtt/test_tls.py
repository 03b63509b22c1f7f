"""Who the MQTT sink trusts, and who trusts it: TLS, certificates, user and password."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_fer.common.secrets import hide_secrets
from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish.mqtt.identity import read_credentials
from edge_fer.publish.mqtt.sink import Mqtt, try_broker
from edge_fer.schema import SinkStatus
from edge_fer.settings import MqttSettings
from tests.support.brokers import Broker, closing_all, need_mosquitto, scripted
from tests.support.certificates import Certificates
from tests.support.records import make_reading
from tests.support.waiting import wait_until


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
    try_broker(settings, "drone-7")
    with closing(Mqtt(settings, "drone-7")) as sink:
        for frame in range(100):
            sink.publish(make_reading(frame), None)
        wait_until(lambda: sink.condition == SinkStatus("ok", sent=100))


def assert_refused(settings: MqttSettings, why: str) -> None:
    with pytest.raises(OutputError, match=why):
        try_broker(settings, "drone-7")
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
    with closing_all(broker), pytest.raises(OutputError, match=r"a broker at .*, found: connection .*or \.tls$"):
        try_broker(to(broker, tls=True, ca_file=certificates.path("ca.crt")), "drone-7")


def test_a_broker_with_tls_is_found_out_without(tls: Broker) -> None:
    with pytest.raises(OutputError, match=r"a broker at .*, found: connection (closed|reset by peer); .*or \.tls$"):
        try_broker(to(tls), "drone-7")


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_sends_nothing_is_found_out(tls: bool) -> None:
    with scripted(b"") as port, pytest.raises(OutputError, match=r"found: no answer within 0\.2 s; start it, or"):
        try_broker(MqttSettings(host="127.0.0.1", port=port, tls=tls), "drone-7", connect_s=0.2)


def refusal(certificates: Certificates, **files: Path) -> str:
    """Why files cannot be used."""
    named = {"ca_file": certificates.path("ca.crt"), **files}
    with pytest.raises(ConfigError) as caught:
        try_broker(MqttSettings(host="127.0.0.1", tls=True, **named), "drone-7")
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "No such file or directory"),
        ("", "none that can be read"),
        ("this is no certificate\n", "none that can be read"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "none that can be read"),
    ],
)
def test_files_that_are_no_certificates_are_refused_in_plain_words(
    tmp_path: Path, certificates: Certificates, content: str | None, found: str
) -> None:
    path, box = tmp_path / "file.pem", certificates.path("box.crt")
    if content is not None:
        path.write_text(content)
        path.chmod(0o600)
    expected = "expected certificates and keys in PEM, found in"
    assert refusal(certificates, ca_file=path) == f"{expected} {path}: {found}"
    assert refusal(certificates, cert_file=path) == f"{expected} {path}: {found}"
    both = path if content is None else f"{box} and {path}"
    assert refusal(certificates, cert_file=box, key_file=path) == f"{expected} {both}: {found}"


def test_a_key_of_another_certificate_is_refused(certificates: Certificates) -> None:
    box, key = certificates.path("box.crt"), certificates.path("broker.key")
    assert refusal(certificates, cert_file=box, key_file=key).endswith(": a key of another certificate")


def test_a_weak_key_is_refused_in_openssls_words(tmp_path: Path, certificates: Certificates) -> None:
    path = tmp_path / "weak.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:512", "-nodes", "-days", "2", "-subj", "/CN=weak"]
    subprocess.run([*request, "-keyout", path, "-out", tmp_path / "crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "crt").read_text())
    assert refusal(certificates, cert_file=path).endswith(f"found in {path}: ee key too small")


@pytest.mark.parametrize("mode", [0o644, 0o604])
def test_secrets_that_everybody_may_read_are_refused(tmp_path: Path, certificates: Certificates, mode: int) -> None:
    key, both = tmp_path / "box.key", tmp_path / "box.pem"
    key.write_text(certificates.path("box.key").read_text())
    both.write_text(certificates.path("box.crt").read_text() + key.read_text())
    secret = credentials(tmp_path, "ada\nlovelace\n")
    for path in (key, both, secret):
        path.chmod(mode)
    advice = "readable by everybody; chmod o-rwx"
    box = certificates.path("box.crt")
    for found, path in ((refusal(certificates, cert_file=box, key_file=key), key),
                        (refusal(certificates, cert_file=both), both)):  # fmt: skip
        assert found == f"expected a private key that is secret, found {path} {advice} {path}"
    found = refusal(certificates, credentials_file=secret)
    assert found == f"expected a password that is secret, found {secret} {advice} {secret}"


@pytest.mark.parametrize("mode", [0o640, 0o440])
def test_secrets_that_the_services_group_may_read_are_taken(guarded: Broker, tmp_path: Path, mode: int) -> None:
    path = credentials(tmp_path, "ada\nlovelace\n")
    path.chmod(mode)
    try_broker(to(guarded, credentials_file=path), "drone-7")


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path, certificates: Certificates) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", certificates.path("box.key"), "-aes256", "-passout", "pass:secret", "-out", locked],
        check=True,
        capture_output=True,
    )
    settings = MqttSettings(host="127.0.0.1", tls=True, cert_file=certificates.path("box.crt"), key_file=locked)
    with pytest.raises(ConfigError, match=f"found in .*box.crt and {locked}: a key with a passphrase; use one without"):
        try_broker(settings, "drone-7")


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
    with pytest.raises(ConfigError, match=r"user and a password in .*none .*found: No such file or directory$"):
        try_broker(MqttSettings(host="127.0.0.1", credentials_file=tmp_path / "none"), "drone-7")
    binary = credentials(tmp_path, "")
    binary.write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match=r"found no text in UTF-8; save it as UTF-8$"):
        try_broker(MqttSettings(host="127.0.0.1", credentials_file=binary), "drone-7")
    with pytest.raises(ConfigError, match="a user in the first line"):
        try_broker(MqttSettings(host="127.0.0.1", credentials_file=credentials(tmp_path, "")), "drone-7")


def test_no_text_shows_the_password_of_a_credentials_file(tmp_path: Path) -> None:
    assert read_credentials(credentials(tmp_path, "ada\nby@ron\n")) == ("ada", "by@ron")
    assert hide_secrets("the broker refuses ada, by@ron") == "the broker refuses ada, ***"
