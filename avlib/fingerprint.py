"""Fingerprints of definitions: a hash of what each means, in which the definitions it names stand as *their* hashes.

So neither names nor places count, and whatever changes below a definition changes its fingerprint too.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

from avlib.meaning import Hidden, Hole, Meaning, Piece, Spare
from avlib.reach import WHOLE, Closure, Ref

MODULE = frozenset({
    "_apply", "_backward_hooks", "_backward_pre_hooks", "_buffers", "_call_impl", "_compiled_call_impl",
    "_forward_hooks", "_forward_hooks_always_called", "_forward_hooks_with_kwargs", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_get_backward_hooks", "_get_backward_pre_hooks", "_get_name",
    "_is_full_backward_hook", "_is_hf_initialized", "_load_from_state_dict", "_load_state_dict_post_hooks",
    "_load_state_dict_pre_hooks", "_maybe_warn_non_full_backward_hook", "_modules", "_named_members",
    "_non_persistent_buffers_set", "_parameters", "_register_load_state_dict_pre_hook",
    "_register_state_dict_hook", "_replicate_for_data_parallel", "_save_to_state_dict", "_slow_forward",
    "_state_dict_hooks", "_state_dict_pre_hooks", "_version", "_wrapped_call_impl",
})  # fmt: skip
"""What `torch.nn.Module` itself calls by a private name."""

Node = list[str | Ref]


def sha(text: str | bytes) -> str:
    """sha256 as hexadecimal digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


class Prints:
    """Fingerprints of all that a closure reached.

    Args:
        closure: what `Closure.run` has followed to its end.
        entry: the code that everything was reached from, where there is some.
    """

    def __init__(self, closure: Closure, entry: Meaning | None = None):
        self.closure = closure
        every = [*closure.meanings.values(), *([entry] if entry else [])]
        self.keywords = closure.every_word().union(*(found.keywords for found in every))
        self.mentioned = self.keywords.union(*(found.attributes for found in every))
        self.often = Counter(name for found in every for name in found.attributes)
        self.nodes = {ref: self.node(found, ref.module) for ref, found in closure.meanings.items()}
        self.done: dict[Ref, str] = {}
        self._stack: list[Ref] = []
        self._order: dict[Ref, int] = {}

    def of(self, ref: Ref) -> str:
        """The fingerprint of a definition: what it and all that it names mean."""
        if ref not in self.done:
            self._connect(ref)
        return self.done[ref]

    def own(self, ref: Ref) -> str:
        """A hash of what a definition itself says, with the names of what it names."""
        return sha("".join(f"<{p.module}.{p.name}>" if isinstance(p, Ref) else p for p in self.nodes[ref]))

    def code(self, found: Meaning) -> str:
        """The fingerprint of code that stands outside of the package."""
        node = self.node(found, "")
        return sha("".join(f"<{self.of(p)}>" if isinstance(p, Ref) else p for p in node))

    # --- filling holes

    def node(self, found: Meaning, module: str) -> Node:
        """Text and references that code consists of."""
        live = _live_fields(found.pieces, self.mentioned)
        opaque = found.opaque or any(not self._is_known(base) for base in found.bases)
        pieces = [piece for piece in found.pieces if not isinstance(piece, Spare) or piece in live]
        return [part for piece in pieces for part in self._fill(piece, module, opaque)]

    def _is_known(self, base: Hole) -> bool:
        ref, rest = self.closure.meant(base)
        return ref is not None or rest == "torch.nn.Module"

    def _fill(self, piece: Piece, module: str, opaque: bool) -> Node:
        if isinstance(piece, Hole):
            return self._reference(piece, module)
        if isinstance(piece, Spare):
            return [f"(field {piece.name}={piece.text})"]
        if isinstance(piece, Hidden):
            return [piece.name if self._is_spoken(piece, opaque) else f"_{piece.number}"]
        return [piece]

    def _is_spoken(self, piece: Hidden, opaque: bool) -> bool:
        if piece.kind == "parameter":
            return piece.name in self.keywords
        return opaque or piece.name in self.keywords or piece.name in MODULE or self.often[piece.name] > 1

    def _reference(self, hole: Hole, module: str) -> Node:
        ref, rest = self.closure.meant(hole)
        if ref is None:
            return [rest]
        if ref in self.closure.tables - self.closure.reached and ref.module == module:
            return [ref.name + rest]
        return [ref, rest]

    def _parts(self, ref: Ref) -> Node:
        if ref in self.nodes:
            return self.nodes[ref]
        module = self.closure.module(ref.module)
        if ref.name != WHOLE or module is None:
            return [f"{ref.module}.{ref.name}"]
        names = [Ref(ref.module, name) for name in sorted(module.definitions)]
        inside = [part for each in names if each in self.nodes for part in (f"{each.name}=", each)]
        return [*inside, *self.closure.offered(module)]

    # --- definitions that name each other (Tarjan's strongly connected components)

    def _connect(self, ref: Ref) -> int:
        self._order[ref] = low = len(self._order)
        self._stack.append(ref)
        for part in self._parts(ref):
            if isinstance(part, Ref) and part not in self.done:
                low = min(low, self._order[part] if part in self._order else self._connect(part))
        if low == self._order[ref]:
            at = self._stack.index(ref)
            self._settle(self._stack[at:])
            del self._stack[at:]
        return low

    def _settle(self, group: list[Ref]) -> None:
        """As many rounds as there are definitions tell apart all that can be told apart without their names."""
        inner = dict.fromkeys(group, "")
        for _ in group:
            inner = {ref: sha(self._text(ref, inner)) for ref in group}
        self.done |= inner

    def _text(self, ref: Ref, inner: Mapping[Ref, str]) -> str:
        return "".join(
            part if isinstance(part, str) else f"<{inner[part] if part in inner else self.done[part]}>"
            for part in self._parts(ref)
        )


def _live_fields(pieces: list[Piece], mentioned: set[str]) -> set[Spare]:
    """The constant fields at the end of a dataclass, up to the last that anybody names."""
    fields = [piece for piece in pieces if isinstance(piece, Spare)]
    named = [place for place, field in enumerate(fields) if field.name in mentioned]
    return set(fields[: named[-1] + 1]) if named else set()
