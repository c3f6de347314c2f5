"""One Redis on a port of 127.0.0.1."""

from pathlib import Path
from urllib.parse import quote

from tests.support.redis_servers.process import (
    REDIS,
    RedisProcess,
    free_cluster_port,
    free_port,
    new_client,
)


class RedisNode(RedisProcess):
    """Stores nothing on disk, so it is empty after ``kill`` and ``start``, unless ``arguments`` say otherwise.

    arguments: for redis-server, after ours
    password: of the default user
    acl: the lines of an ACL file; a password of the default user is in them then
    login: "user:password@", percent-encoded, for ``url`` and ``client``, where the default user may not
    certificate: a file with a key and its certificate, which is also its own authority: the port speaks TLS only
    replica_of: the port of its primary
    is_in_cluster: see ``RedisCluster``
    """

    def __init__(
        self,
        *arguments: str,
        program: str = REDIS,
        password: str = "",
        acl: tuple[str, ...] = (),
        login: str = "",
        certificate: Path | None = None,
        replica_of: int | None = None,
        is_in_cluster: bool = False,
    ) -> None:
        super().__init__(program)
        self.port = free_cluster_port() if is_in_cluster else free_port()
        self.address = f"127.0.0.1:{self.port}"
        login = login or (f":{quote(password, '')}@" if password else "")
        self.url = f"redis://{login}{self.address}"
        if certificate is not None:
            self.url = f"rediss://{login}{self.address}/0?ssl_ca_certs={certificate}"
        self.client = new_client(self.url)
        self._arguments = (
            *("--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""),
            # A replica gets its copy at once, not after five seconds.
            *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
            *self._ports(certificate),
            *_login_arguments(self.folder, password, acl),
            *_replica_arguments(replica_of, password),
            *arguments,
        )

    def _ports(self, certificate: Path | None) -> tuple[str, ...]:
        if certificate is None:
            return ("--port", str(self.port))
        file = str(certificate)
        return (
            *("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", file, "--tls-key-file", file, "--tls-ca-cert-file", file),
            *("--tls-replication", "yes", "--tls-cluster", "yes"),
        )

    @property
    def role(self) -> str:
        """master or slave, as it says itself."""
        return str(self.client.info("replication")["role"])

    @property
    def is_in_sync(self) -> bool:
        """Whether this replica has its primary's data and gets what is added."""
        return self.client.info("replication").get("master_link_status") == "up"

    def keys(self) -> list[str]:
        return sorted(key.decode() for key in self.client.keys("*"))


def _login_arguments(folder: Path, password: str, acl: tuple[str, ...]) -> tuple[str, ...]:
    if not acl:
        return ("--requirepass", password)
    file = folder / "users.acl"
    file.write_text("".join(f"{line}\n" for line in acl))
    return ("--aclfile", str(file))


def _replica_arguments(primary: int | None, password: str) -> tuple[str, ...]:
    # A primary may become a replica.
    login = ("--masterauth", password) if password else ()
    return login if primary is None else ("--replicaof", "127.0.0.1", str(primary), *login)
