"""A contract for import-linter: what a part of the product may import, and nothing else beside the standard library.

import-linter's own contracts name what is forbidden; a whitelist also catches the package that nobody thought of.
"""

from __future__ import annotations

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """`source_modules` import each other, the standard library and what is in `allowed`.

    With `as_packages`, which is the default, that goes for all in them. A package around them may always be imported
    (for `__version__`); what an allowed module imports is its own affair.
    """

    type_name = "only"

    source_modules = fields.ListField(subfield=fields.StringField())
    allowed = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    as_packages = fields.BooleanField(required=False, default=True)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        sources: list[str] = self.source_modules  # type: ignore[assignment]
        allowed = {*self.allowed, *sys.stdlib_module_names, *(sources if self.as_packages else ())}  # type: ignore[misc]
        found = []
        for source in sources:
            if source not in graph.modules:
                raise ValueError(f"There is no module {source}; the contract '{self.name}' names it")
            inside = graph.find_descendants(source) if self.as_packages else set()
            for module in sorted({source} | inside):
                for imported in sorted(graph.find_modules_directly_imported_by(module)):
                    if not (_is_in(imported, allowed) or module.startswith(f"{imported}.")):
                        found += graph.get_import_details(importer=module, imported=imported)
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for detail in check.metadata["found"]:
            output.print_error(f"{detail['importer']} line {detail['line_number']}: {detail['line_contents']}")


def _is_in(module: str, packages: set[str]) -> bool:
    """True where `module` is one of `packages` or inside one of them."""
    parts = module.split(".")
    return any(".".join(parts[:count]) in packages for count in range(1, len(parts) + 1))
