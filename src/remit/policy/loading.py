"""``load``: from the text of documents to a ``PolicySet``, or every fault in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from remit import canonical, text
from remit.errors import InvalidArgument, PolicyError
from remit.model import Effect, Fault, Location, Mode
from remit.policy import bundle
from remit.policy.balances import measured
from remit.policy.breakers import read_breakers
from remit.policy.catalogue import Catalogue, ToolSchema, freeze, read_tools
from remit.policy.conditions import ConditionReader, constant_faults
from remit.policy.costs import read_costs
from remit.policy.directory import Directory, read_directory
from remit.policy.inspections import read_inspections, warn_of_blind_rules
from remit.policy.meaning import Surroundings, declared_labels, read_rules
from remit.policy.metering import Meter
from remit.policy.planning import Decider, Planner
from remit.policy.policyset import PolicySet
from remit.policy.reachability import find_impossible, find_open_duties, find_unreachable
from remit.policy.reading import ReadDocument, read
from remit.policy.rules import Rule
from remit.policy.spending import paced, read_limits, read_prices
from remit.policy.tasks import read_tasks
from remit.policy.types import VARIABLES
from remit.policy.yaml import YamlMap, decode, parse

_RESERVED = frozenset({"args", "true", "false", "null", "in", *VARIABLES})


def load(
    documents: Mapping[str, str | bytes], *, tools: Mapping[str, ToolSchema] | None = None
) -> PolicySet:
    """Check documents and make them ready to decide by.

    Args:
        documents: text by file name. All of them together are one policy.
        tools: JSON Schema of the arguments by name of the tools that the application has, if it
            knows them: conditions are checked against them too.

    Raises:
        PolicyError: with every fault found; nothing was loaded.
    """
    loading = _Loading(dict(sorted(documents.items())), tools or {})
    return loading.policies()


class _Loading:
    """One run of ``load``: what was read so far, and the faults."""

    def __init__(
        self, documents: Mapping[str, str | bytes], schemas: Mapping[str, ToolSchema]
    ) -> None:
        self._schemas = {text.name(name): schema for name, schema in schemas.items()}
        self._faults: list[Fault] = []
        self._warnings: list[Fault] = []
        self._texts: dict[str, str] = {}
        self._read = list(self._readable(documents))

    def policies(self) -> PolicySet:
        """The policy set, if there was no fault."""
        documents = self._read
        note = self._faults.append
        directory = read_directory(documents, note)
        catalogue = read_tools(documents, note)
        constants = self._constants()
        mode, default = self._mode_and_default()
        # Names cannot be looked up in sections that could not be read: that would only add
        # faults which vanish with the first ones.
        broken = bool(self._faults)
        around = self._around(directory, catalogue, constants, complete=not broken)
        rules = read_rules(documents, around, note, self._warnings.append)
        inspections = read_inspections(documents, around, note, self._warnings.append)
        limits = read_limits(documents, around, note, self._warnings.append)
        costs = read_costs(documents, around.conditions, note)
        prices = read_prices(documents, note)
        taken = {rule.id.casefold(): rule.at for rule in rules}
        breakers = read_breakers(
            documents, around, paced(limits.budgets), taken, note, self._warnings.append
        )
        tasks = read_tasks(documents, around, note, self._warnings.append)
        if documents and not self._faults and not rules:
            root = documents[0].source
            hint = "Add rules:, with at least one rule that allows something."
            note(root.fault_at(0, 0, 1, "there are no rules, so nothing would be allowed", hint))
        if not self._faults:
            self._check_reach(rules, catalogue, directory)
            warn_of_blind_rules(rules, inspections, self._placed(self._warnings))
        packed = self._packed()
        if self._faults:
            raise PolicyError(sorted(self._faults, key=lambda fault: fault.at))
        revision = bundle.revision(packed)
        planner = Planner(rules, catalogue, constants)
        return PolicySet(
            breakers=breakers,
            bundle=packed,
            catalogue=catalogue,
            constants=constants,
            decider=Decider(planner, revision=revision, mode=mode, default=default),
            default=default,
            directory=directory,
            inspections=inspections,
            meter=Meter(limits, costs, prices, catalogue, constants),
            mode=mode,
            revision=revision,
            rules=rules,
            tasks=tasks,
            warnings=tuple(sorted(self._warnings, key=lambda fault: fault.at)),
        )

    def _around(
        self,
        directory: Directory,
        catalogue: Catalogue,
        constants: Mapping[str, Any],
        *,
        complete: bool,
    ) -> Surroundings:
        labels = declared_labels(self._read, catalogue)
        return Surroundings(
            directory=directory,
            catalogue=catalogue,
            tool_names=frozenset(self._schemas),
            labels=labels,
            complete=complete,
            conditions=ConditionReader(
                constants=constants,
                catalogue=catalogue,
                schemas=self._schemas,
                labels=labels,
                budgets=measured(self._read) if complete else None,
            ),
        )

    def _packed(self) -> bytes:
        packed = bundle.pack(self._texts)
        if len(packed) > bundle.MAX_BYTES:
            at = Location(self._read[0].source.file, 1, 1)
            message = f"all documents together are larger than {bundle.MAX_BYTES} bytes"
            self._faults.append(Fault(at=at, message=message))
        return packed

    def _readable(self, documents: Mapping[str, str | bytes]) -> Iterable[ReadDocument]:
        if not documents:
            at = Location("remit.yaml", 1, 1)
            hint = "Write one with `remit init`."
            self._faults.append(
                Fault(at=at, message="there is no policy document", suggestion=hint)
            )
        for file, data in documents.items():
            source, faults = decode(file, data)
            self._faults += faults
            if faults:
                continue
            self._texts[file] = source.text
            root, faults = parse(source)
            self._faults += faults
            if root is None and faults:
                continue
            document, faults = read(source, root)
            self._faults += faults
            if document is not None:
                yield document

    def _constants(self) -> Mapping[str, Any]:
        """The values of ``define:`` of all documents."""
        constants: dict[str, Any] = {}
        for each in self._read:
            entries = each.document.define
            if not entries:
                continue
            node = each.node(each.document, "define")
            assert isinstance(node, YamlMap)
            self._faults += constant_faults(each.source, node.entries.values(), _RESERVED)
            for name, value in entries.items():
                key = each.key(each.document, "define", name)
                if name in constants:
                    message = f"the constant {name!r} is defined already in another document"
                    self._faults.append(each.source.fault(key, message, "Keep one of them."))
                try:
                    constants[name] = freeze(canonical.check(value, name))
                except InvalidArgument as error:
                    self._faults.append(each.source.fault(key, str(error)))
        return freeze(constants)  # type: ignore[no-any-return]

    def _mode_and_default(self) -> tuple[Mode, Effect]:
        modes = self._agreed("mode")
        defaults = self._agreed("default")
        mode = Mode(modes) if modes else Mode.ENFORCE
        default = Effect(defaults) if defaults else Effect.DENY
        accepted = any(each.document.accept_open_default for each in self._read)
        if default is Effect.ALLOW and mode is not Mode.SHADOW and not accepted:
            for each in self._read:
                if each.document.default == "allow":
                    message = "default: allow lets through everything that no rule speaks of"
                    hint = "Use default: deny. Or add mode: shadow, or accept-open-default: true."
                    self._faults.append(each.fault(each.document, ("default",), message, hint))
        return mode, default

    def _agreed(self, key: str) -> str | None:
        """The value of a key that may stand in any document, but must be the same in all."""
        found: str | None = None
        for each in self._read:
            value = getattr(each.document, key)
            if value is None:
                continue
            if found is not None and value != found:
                message = f"another document says {key}: {found}"
                fault = each.fault(each.document, (key,), message, "Say it in one document only.")
                self._faults.append(fault)
            found = found or value
        return found

    def _check_reach(
        self, rules: tuple[Rule, ...], catalogue: Catalogue, directory: Directory
    ) -> None:
        fault, warning = self._placed(self._faults), self._placed(self._warnings)
        find_unreachable(rules, fault, warning)
        find_open_duties(rules, warning)
        find_impossible(rules, catalogue, directory, fault, warning)

    def _placed(self, into: list[Fault]) -> Callable[[Rule, str, str], None]:
        sources = {each.source.file: each.source for each in self._read}

        def note(rule: Rule, message: str, hint: str) -> None:
            source = sources[rule.at.file]
            line, column = rule.at.line - 1, rule.at.column - 1
            into.append(source.fault_at(line, column, len(rule.id), message, hint))

        return note
