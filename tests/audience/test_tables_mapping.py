"""The column a person would choose is the one suggested, in six languages and without names."""

from __future__ import annotations

import pytest

from tcma.audience.tables import FIELDS, RawRow, suggest_mapping


def suggest(columns: list[str], *rows: list[str]) -> dict[str, str]:
    sample = [RawRow(number, row) for number, row in enumerate(rows, start=2)]
    return {field: columns[place] for field, place in suggest_mapping(columns, sample).items()}


@pytest.mark.parametrize(
    "columns",
    [
        "Email, First name, Last name, Company, Job title, Phone, City, Country, Language, Tags",
        "E-Mail-Adresse, Vorname, Nachname, Firma, Funktion, Telefon, Ort, Land, Sprache, Gruppen",
        "Adresse e-mail, Prénom, Nom de famille, Société, Poste, Téléphone, Ville, Pays, Langue, Étiquettes",
        "Correo electrónico, Nombre, Apellidos, Empresa, Cargo, Teléfono, Ciudad, País, Idioma, Etiquetas",
        "E-mailadres, Voornaam, Achternaam, Bedrijf, Functie, Telefoon, Plaats, Land, Taal, Trefwoorden",
        "Indirizzo e-mail, Nome, Cognome, Azienda, Ruolo, Telefono, Città, Paese, Lingua, Etichette",
        "WORK_EMAIL, FIRST_NAME, LAST_NAME, ACCOUNT_NAME, ROLE, MOBILE, TOWN, COUNTRY_CODE, LOCALE, SEGMENT",
    ],
)
def test_names_are_understood_in_six_languages(columns: str) -> None:
    names = columns.split(", ")
    fields = [field for field in FIELDS if field != "full_name"]
    assert suggest(names, ["a@b.example", *["x"] * 9]) == dict(zip(fields, names, strict=True))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["Name", "Mail"], {"full_name": "Name", "email": "Mail"}),
        (["Vorname", "Name", "Mail"], {"first_name": "Vorname", "last_name": "Name", "email": "Mail"}),
        (["Nom", "Prénom", "Mail"], {"last_name": "Nom", "first_name": "Prénom", "email": "Mail"}),
        (["Nom complet", "Mail"], {"full_name": "Nom complet", "email": "Mail"}),
        (["Company name", "Mail"], {"company": "Company name", "email": "Mail"}),
    ],
)
def test_a_bare_name_is_whole_or_the_other_half(columns: list[str], expected: dict[str, str]) -> None:
    assert suggest(columns) == expected


def test_addresses_are_found_without_any_name() -> None:
    rows = [["Ann", "x", "ann@b.example"], ["Bob", "", "bob@b.example"], ["Eve", "z", ""]]
    assert suggest(["Column 1", "Column 2", "Column 3"], *rows) == {"email": "Column 3"}


def test_contents_outweigh_a_misleading_name() -> None:
    rows = [["yes", "ann@b.example"], ["no", "bob@b.example"]]
    assert suggest(["Email", "Contact"], *rows) == {"email": "Contact"}


def test_of_two_address_columns_the_named_one_is_taken() -> None:
    assert suggest(["Alternate", "Email"], ["x@b.example", "ann@b.example"])["email"] == "Email"


@pytest.mark.parametrize("name", ["Email opt-in", "Email status", "Last email sent", "Company ID", "Country source"])
def test_a_column_about_another_is_not_taken_for_it(name: str) -> None:
    assert suggest(["Email", name], ["a@b.example", "x"]) == {"email": "Email"}


def test_each_column_serves_once() -> None:
    found = suggest_mapping(
        ["Email", "Email (2)", "Phone", "Mobile phone"], [RawRow(2, ["a@b.example", "c@d.example", "1", "2"])]
    )
    assert found == {"email": 0, "phone": 2}


def test_nothing_is_suggested_for_strange_names() -> None:
    assert suggest(["", "¿?", "🙂"], ["x", "y", "z"]) == {}
