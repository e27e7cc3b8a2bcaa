"""The desk phones that may register here: kept in memory, taken anew when another process has changed them.

A secret is made here, shown once, and kept only as the two HA1 that a digest needs (SHA-256 and MD5).
"""

import ipaddress
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from server.phones.errors import PhoneError
from server.phones.gate import Device
from server.store import audit
from server.store import phones as rows
from server.store.database import Database
from server.store.errors import StoreConflict
from server.store.sites import SiteTree
from signaling.sip.digest import Algorithm, ha1

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
MAX_NETWORKS = 16
MAX_PHONES = 5000


@dataclass(frozen=True, slots=True)
class Phone(Device):
    """An entry; the HA1 never leave this module."""

    realm: str = ""
    created_at: float = 0.0
    created_by: str = ""


class Phones:
    """`realm`: the domain of the settings. A phone of another realm cannot register: it needs a new secret."""

    def __init__(self, database: Database, tree: SiteTree, realm: str) -> None:
        self._database = database
        self._tree = tree
        self.realm = realm
        self._phones: dict[str, Phone] = {}
        self._secrets: dict[tuple[str, Algorithm], str] = {}
        self._version: tuple[int, float] = (-1, 0.0)

    async def refresh(self) -> bool:
        """Read them anew if they were changed. Raises StoreError."""
        async with self._database.reading() as connection:
            version = await rows.version(connection)
            if version == self._version:
                return False
            found = await rows.all_phones(connection)
        self._phones = {row["phone"]: _phone(row) for row in found}
        self._secrets = {}
        for row in found:
            if not row["disabled"] and row["realm"] == self.realm:
                self._secrets[row["phone"], "SHA-256"] = row["ha1_sha256"]
                self._secrets[row["phone"], "MD5"] = row["ha1_md5"]
        self._version = version
        return True

    def get(self, phone: str) -> Phone | None:
        return self._phones.get(phone)

    def secret(self, phone: str, algorithm: Algorithm) -> str | None:
        """HA1, for the digest."""
        return self._secrets.get((phone, algorithm))

    def of(self, sites: Sequence[str]) -> list[Phone]:
        wanted = set(sites)
        return [one for one in self._phones.values() if one.site in wanted]

    def everything(self) -> list[Phone]:
        return list(self._phones.values())

    async def add(self, phone: str, site: str, name: str, networks: Sequence[str], by: str) -> str:
        """A new phone; its secret, for this once.

        Raises:
            PhoneError: `invalid`, `no_such_site`, `phone_taken`, `capacity`.
        """
        if not NAME.fullmatch(phone):
            raise PhoneError("invalid", "The name of a phone is made of a-z, 0-9, dot, dash and underscore.")
        if site not in self._tree:
            raise PhoneError("no_such_site", f"There is no site {site}.")
        await self.refresh()
        if len(self._phones) >= MAX_PHONES:
            raise PhoneError("capacity", f"There are already {MAX_PHONES} phones.")
        secret, at = new_secret(), time.time()
        row = {
            "phone": phone, "site": site, "name": name[:64], "networks": _networks(networks), "disabled": False,
            "created_at": at, "created_by": by, "changed_at": at, **self._ha1(phone, secret),
        }  # fmt: skip
        try:
            async with self._database.transaction() as connection:
                await rows.add_phone(connection, row)
                await audit.append(connection, at=at, actor=by, action="phone.add", object=phone, site=site)
        except StoreConflict as error:
            raise PhoneError("phone_taken", f"There is a phone {phone} already.") from error
        await self.refresh()
        return secret

    async def renew(self, phone: str, by: str) -> str:
        """Another secret; the old one is worth nothing from now on. Raises PhoneError (`no_such_phone`)."""
        secret = new_secret()
        await self._change(phone, self._ha1(phone, secret), "phone.secret", by)
        return secret

    async def change(
        self,
        phone: str,
        by: str,
        *,
        name: str | None = None,
        networks: Sequence[str] | None = None,
        disabled: bool | None = None,
    ) -> Phone:
        values: dict[str, object] = {}
        if name is not None:
            values["name"] = name[:64]
        if networks is not None:
            values["networks"] = _networks(networks)
        if disabled is not None:
            values["disabled"] = disabled
        await self._change(phone, values, "phone.change", by)
        return self._phones[phone]

    async def remove(self, phone: str, by: str) -> None:
        known = self._phones.get(phone)
        if known is None:
            raise PhoneError("no_such_phone", f"There is no phone {phone}.")
        async with self._database.transaction() as connection:
            await rows.remove_phone(connection, phone)
            await audit.append(
                connection, at=time.time(), actor=by, action="phone.remove", object=phone, site=known.site
            )
        await self.refresh()

    async def _change(self, phone: str, values: dict[str, object], action: str, by: str) -> None:
        await self.refresh()
        known, at = self._phones.get(phone), time.time()
        if known is None:
            raise PhoneError("no_such_phone", f"There is no phone {phone}.")
        told = sorted(name for name in values if not name.startswith("ha1"))
        async with self._database.transaction() as connection:
            await rows.change_phone(connection, phone, {**values, "changed_at": at})
            await audit.append(
                connection, at=at, actor=by, action=action, object=phone, site=known.site, detail={"fields": told}
            )
        await self.refresh()

    def _ha1(self, phone: str, secret: str) -> dict[str, object]:
        return {
            "realm": self.realm,
            "ha1_sha256": ha1("SHA-256", phone, self.realm, secret),
            "ha1_md5": ha1("MD5", phone, self.realm, secret),
        }


def new_secret() -> str:
    """Without signs that are hard to tell apart, typed into phones by hand: 24 of 31 signs, 118 bits."""
    return "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(24))


def _networks(given: Sequence[str]) -> list[str]:
    if len(given) > MAX_NETWORKS:
        raise PhoneError("invalid", f"A phone has at most {MAX_NETWORKS} networks.")
    try:
        return [str(ipaddress.ip_network(one, strict=False)) for one in given]
    except ValueError as error:
        raise PhoneError("invalid", f"{error}.") from error


def _phone(row: dict[str, object]) -> Phone:
    networks = row["networks"]
    assert isinstance(networks, list)
    return Phone(
        str(row["phone"]), str(row["site"]), str(row["name"]), tuple(str(one) for one in networks),
        bool(row["disabled"]), str(row["realm"]), float(str(row["created_at"])), str(row["created_by"]),
    )  # fmt: skip
