"""What certificates are checked against."""

import os
import ssl

import pytest

from edge_fer.common.tls import client_context, trust
from edge_fer.errors import ConfigError
from tests.support.certificates import Certificates
from tests.support.debian import need_debian


def test_own_authorities_need_not_state_all_that_a_strict_check_asks(tmp_path):
    need_debian("openssl")
    context = trust(Certificates(tmp_path).path("ca.crt"))
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [len(context.get_ca_certs()), trust(None).verify_flags] == [1, ssl.create_default_context().verify_flags]


@pytest.mark.parametrize("files", [("pipe", None, None), (None, "pipe", None)])
def test_a_pipe_is_no_certificate_and_is_not_waited_for(tmp_path, files):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe: no regular file"):
        client_context(*(name and tmp_path / name for name in files))
