"""The registry: all namespaces as this process knows them, found by name and by the id of a token."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flux_actors.tenancy.namespace import Namespace
from flux_actors.tenancy.principal import UNKNOWN, Principal
from flux_actors.tenancy.token import digest_of, is_same, read_token

PastsOfLog = Callable[[str, Mapping[int, int]], Mapping[int, int]]  # of a name, what is noted, as it is here


def _as_noted(_: str, past: Mapping[int, int]) -> Mapping[int, int]:
    """Return what is noted: it was so in the log that is."""
    return past


class Registry:
    """Namespaces, and whose token a token is."""

    def __init__(self) -> None:
        self._by_name: dict[str, Namespace] = {}
        self._by_token: dict[str, Namespace] = {}
        self.hidden: set[str] = set()  # names of which those without a token are told nothing
        self.in_this_log: PastsOfLog = _as_noted

    def __len__(self) -> int:
        """Return how many names are known, those of deleted namespaces too."""
        return len(self._by_name)

    def apply(self, namespace: Namespace) -> None:
        """Take a namespace as it is now."""
        before = self._by_name.get(namespace.name)
        if before is not None:
            for token_id in before.tokens:
                del self._by_token[token_id]
        self._by_name[namespace.name] = namespace
        for token_id in namespace.tokens:
            self._by_token[token_id] = namespace
        self.hidden.discard(namespace.name)
        if namespace.hidden:
            self.hidden.add(namespace.name)

    def seal(self, name: str) -> None:
        """Hide a name whose record cannot be read, and take no token for it."""
        before = self._by_name.pop(name, None)
        for token_id in before.tokens if before is not None else ():
            del self._by_token[token_id]
        self.hidden.add(name)

    def namespace(self, name: str) -> Namespace | None:
        """Return the namespace of a name, also one that is gone."""
        return self._by_name.get(name)

    def past_of(self, name: str) -> Mapping[int, int]:
        """Return, by partition, the last sequence that is of earlier owners of a name, if it had some."""
        namespace = self._by_name.get(name)
        return {} if namespace is None else self.in_this_log(name, namespace.past)

    def has_token(self, token_id: str) -> bool:
        """Whether a token of this id is good, its time aside."""
        return token_id in self._by_token

    def all(self) -> list[Namespace]:
        """Return every namespace, sorted by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def holder(self, text: str) -> Principal:
        """Return whose token a text is: 1.4 µs."""
        token = read_token(text)
        if token is None:
            return UNKNOWN
        namespace = self._by_token.get(token.id)
        if namespace is None:
            return UNKNOWN
        record = namespace.tokens[token.id]
        if not is_same(digest_of(token, namespace.id), record.digest):
            return UNKNOWN
        return Principal.holder(namespace.name, record.scopes, record.prefix, record.expires_us, token.id)
