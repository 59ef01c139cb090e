"""How a NATS server is connected to: what proves who one is, whom one believes, and that no secret is shown."""

import asyncio
import contextlib
import random
import subprocess
import sys

import pytest

from controller.fleet.manifest import Nats
from controller.fleet.transport import Unreachable
from controller.fleet.transport.connecting import heeding
from controller.fleet.transport.nats import LONGEST_PAUSE, OverNats, pause
from tests.controller.fleet.nats_ends import opened, send, until
from tests.controller.fleet.nats_servers import serving

TOKEN = "geheim-5c1f0a"


@pytest.mark.tool("nats")
async def test_a_wrong_token_is_told_without_it_and_a_new_one_is_taken_without_a_restart(tmp_path, capsys):
    file = tmp_path / "token"
    file.write_text("falsch-77aa01\n")
    with serving(tmp_path / "nats", f'authorization {{ token: "{TOKEN}" }}') as server:
        async with opened("a", ["b"], server, settled=False, token_file=str(file)) as a:
            await until(lambda: "refuses" in a.transport._why, "the refusal")
            with pytest.raises(Unreachable) as refused:
                await send(a, "b")
            assert str(refused.value) == f"nats://127.0.0.1:{server.port} refuses what tokenFile {file} holds"
            file.write_text(f"{TOKEN}\n")
            await until(a.settled, "the right token to be taken")
    said = capsys.readouterr().out
    assert "refuses what tokenFile" in said
    assert "falsch" not in said
    assert TOKEN not in said


@pytest.mark.tool("nats")
async def test_a_token_or_a_password_in_the_address_is_used_and_never_shown(tmp_path, capsys):
    user = f'authorization {{ users: [{{ user: "orcha", password: "{TOKEN}" }}] }}'
    for name, settings, proof in (
        ("token", f'authorization {{ token: "{TOKEN}" }}', TOKEN),
        ("password", user, f"orcha:{TOKEN}"),
    ):
        with serving(tmp_path / name, settings) as server:
            async with opened("a", ["b"], f"nats://{proof}@127.0.0.1:{server.port}"):
                pass
            address = f"nats://orcha:falsch@127.0.0.1:{server.port}"
            async with opened("a", ["b"], address, settled=False) as a:
                await until(lambda a=a: "wants a token or credentials" in a.transport._why, "the refusal")
                assert "falsch" not in a.transport._why
    said = capsys.readouterr().out
    assert "connected to NATS" in said
    assert TOKEN not in said
    assert "falsch" not in said


CREDENTIALS = """-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n
-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"""
WRONG_FILES = {
    "an empty token": ({"token_file": "empty"}, "tokenFile .*empty is empty"),
    "credentials without their marks": (
        {"credentials_file": "words"},
        "credentialsFile .*words holds no NATS credentials",
    ),
    "no authority in the file": ({"ca_file": "words"}, "caFile .*words cannot be used"),
    "no file of an authority": ({"ca_file": "nowhere"}, "caFile .*nowhere cannot be used: No such file"),
    "no file of credentials": (
        {"credentials_file": "nowhere"},
        "credentialsFile .*nowhere cannot be read: No such file",
    ),
    "no file of a token": ({"token_file": "nowhere"}, "tokenFile .*nowhere cannot be read: No such file"),
    "not text": ({"token_file": "bytes"}, "tokenFile .*bytes cannot be read: it is not UTF-8"),
    "an address that is none": (
        {"servers": ["http://x:1"]},
        "'http://x:1' is no address of a NATS server; write nats://",
    ),
    "an address with a secret": ({"servers": ["nats://u:geheim@:x"]}, "':x' is no address of a NATS server"),
}


@pytest.mark.parametrize(("settings", "sentence"), WRONG_FILES.values(), ids=WRONG_FILES)
async def test_what_trying_again_cannot_mend_is_told_at_once(settings, sentence, tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "words").write_text("some words that are a secret")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    given = {key: value if key == "servers" else str(tmp_path / value) for key, value in settings.items()}
    transport = OverNats(Nats(**{"servers": ["nats://127.0.0.1:4222"], **given}))
    with pytest.raises(Unreachable, match=sentence) as refused:
        await transport.open("a", ["b"], lambda _: None)
    assert "geheim" not in str(refused.value)
    assert "secret" not in str(refused.value)
    await transport.close()


@pytest.mark.tool("nats")
async def test_credentials_are_shown_to_the_server_as_their_file_has_them(tmp_path):
    """A server with a resolver needs an operator; here it is enough that the signature is right and the account is unknown."""
    import nkeys

    seed = nkeys.from_seed(b"SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU").seed.decode()
    file = tmp_path / "agent.creds"
    file.write_text(CREDENTIALS.format(jwt="eyJ0eXAiOiJKV1QifQ.e30.c2ln", seed=seed))
    operator = f"authorization {{ users: [{{ nkey: {nkeys.from_seed(seed.encode()).public_key.decode()} }}] }}"
    with serving(tmp_path / "nats", operator) as server:
        async with opened("a", ["b"], server, settled=False, credentials_file=str(file)) as a:
            await until(lambda: "refuses" in a.transport._why, "the refusal")
            assert a.transport._why.endswith(f"refuses what credentialsFile {file} holds")
            assert seed not in a.transport._why


def test_without_nats_py_it_is_said_how_to_get_it():
    script = (
        "import sys, asyncio; sys.modules['nats'] = None\n"
        "from controller.fleet.manifest import Nats\n"
        "from controller.fleet.transport.nats import OverNats\n"
        "asyncio.run(OverNats(Nats(servers=['nats://127.0.0.1:1'])).open('a', ['b'], print))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "Unreachable: NATS needs the library nats-py; install it where orcha is: pip install nats-py" in done.stderr


@pytest.fixture
def certificate(tmp_path):
    """(certificate, key) of 127.0.0.1, which nobody but this test knows."""
    found = tmp_path / "certificate.pem", tmp_path / "key.pem"
    argv = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(found[0]), "-keyout", str(found[1]),
    ]  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return found


@pytest.mark.tool("nats")
async def test_over_tls_a_server_is_believed_by_the_authority_that_was_given_and_else_not(tmp_path, certificate):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    settings = (
        f'authorization {{ token: "{TOKEN}" }}\n'
        f'tls {{ cert_file: "{certificate[0]}", key_file: "{certificate[1]}", timeout: 5 }}'
    )
    with serving(tmp_path / "nats", settings) as server:
        url = f"tls://127.0.0.1:{server.port}"
        async with (
            opened("a", ["b"], url, ca_file=str(certificate[0]), token_file=str(file)) as a,
            opened("b", ["a"], url, ca_file=str(certificate[0]), token_file=str(file)) as b,
        ):
            last = await send(a, "b")
            await until(lambda: b.ids == [last], "it to arrive")
        async with opened("a", ["b"], url, settled=False, token_file=str(file)) as a:
            await until(lambda: "cannot be trusted: self-signed certificate" in a.transport._why, "the refusal")
            assert not a.transport.connected


@pytest.mark.tool("nats")
async def test_a_server_that_wants_certificates_of_its_clients_is_said_to_and_a_wrong_one_of_its_own_comes_first(
    tmp_path, certificate
):
    own, key = certificate
    settings = f'tls {{ cert_file: "{own}", key_file: "{key}", ca_file: "{own}", verify: true, timeout: 5 }}'
    with serving(tmp_path / "nats", settings) as server:
        url = f"tls://127.0.0.1:{server.port}"
        async with opened("a", ["b"], url, settled=False, ca_file=str(own)) as a:
            await until(lambda: "wants a certificate of its clients" in a.transport.why, "the refusal")
            assert a.transport.why.startswith(f"{url} wants a certificate of its clients (verify in its tls {{}})")
        async with opened("a", ["b"], url, settled=False) as a:
            await until(lambda: "cannot be trusted: self-signed certificate" in a.transport.why, "the refusal")


@pytest.mark.tool("nats")
async def test_where_tls_is_wanted_nothing_secret_is_sent_without_it(tmp_path):
    heard = bytearray()
    came = asyncio.Event()

    async def serve(reader, writer):
        """A server, or somebody on the way, that says that it does not do TLS."""
        writer.write(b'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"auth_required":true}\r\n')
        heard.extend(await reader.read(10_000))
        came.set()
        writer.close()
        await writer.wait_closed()

    file = tmp_path / "token"
    file.write_text(TOKEN)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with opened("a", ["b"], f"tls://127.0.0.1:{port}", settled=False, token_file=str(file)) as a:
            async with asyncio.timeout(20):
                await came.wait()
            await until(lambda: "does not want TLS" in a.transport._why, "the refusal")
    assert TOKEN.encode() not in heard
    assert b"CONNECT" not in heard


async def test_who_is_called_off_ends_even_where_a_library_swallows_it():
    begun = asyncio.Event()

    async def swallow():
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    async def work():
        with heeding():
            await swallow()
        raise AssertionError("it went on")

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_tries_become_rarer_up_to_a_bound_and_never_come_all_at_once():
    chance = random.Random(1)
    waits = [[pause(failed, chance) for _ in range(50)] for failed in range(40)]
    assert all(len(set(found)) > 40 for found in waits)
    assert max(waits[0]) <= 0.1
    assert max(max(found) for found in waits) <= LONGEST_PAUSE
    assert min(waits[39]) >= LONGEST_PAUSE / 2
