"""A rule of import-linter for our house: one room uses another only through its doors."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

DOORS = ("services", "queries", "models", "states")


class RoomDoors(Contract):
    """Modules of one room import from another room only its services, queries, models and their states.

    `also` lists modules that a service or query file was split into, by meaning.
    """

    type_name = "room_doors"
    rooms = fields.ListField(subfield=fields.StringField())
    also = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        found = []
        for importer in sorted(graph.modules):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                mine, theirs = self._room(importer), self._room(imported)
                if theirs and mine and mine != theirs and not self._is_door(imported, theirs):
                    details = graph.get_import_details(importer=importer, imported=imported)
                    found += [(importer, imported, detail["line_number"]) for detail in details]
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported, line in check.metadata["found"]:
            output.print_error(f"{importer} (line {line}) imports {imported}")
        output.new_line()
        output.print(f"Use the other room's {', '.join(DOORS)}, or list the module under `also` in pyproject.toml.")

    def _room(self, module: str) -> str | None:
        return next((room for room in self.rooms if module == room or module.startswith(f"{room}.")), None)

    def _is_door(self, module: str, room: str) -> bool:
        doors = [*(f"{room}.{door}" for door in DOORS), *self.also]
        return any(module == door or module.startswith(f"{door}.") for door in doors)
