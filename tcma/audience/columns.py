"""Which column of a contact file holds what: guessed from names in six languages and from contents."""

from __future__ import annotations

from collections.abc import Sequence

from tcma.audience.addresses import looks_like_address
from tcma.audience.places import plain
from tcma.audience.rawrows import RawRow

# Names as `plain` writes them: lower case, no accents, single blanks.
_NAMES: dict[str, tuple[str, ...]] = {
    "email": (
        "email", "e mail", "mail", "email address", "e mail address", "emailaddress", "work email", "email 1",
        "business email", "primary email", "e mail 1 value", "emailadresse", "e mail adresse", "mailadresse",
        "adresse e mail", "adresse email", "adresse mail", "courriel", "correo", "correo electronico",
        "direccion de correo", "direccion de correo electronico", "emailadres", "e mailadres", "email adres",
        "e mail adres", "posta elettronica", "indirizzo email", "indirizzo e mail", "indirizzo mail",
    ),
    "first_name": (
        "first name", "firstname", "given name", "forename", "fname", "first", "vorname", "prenom",
        "nombre de pila", "voornaam", "roepnaam", "nome di battesimo",
    ),
    "last_name": (
        "last name", "lastname", "surname", "family name", "lname", "last", "nachname", "familienname",
        "zuname", "nom de famille", "apellido", "apellidos", "primer apellido", "achternaam",
        "familienaam", "cognome",
    ),
    "full_name": (
        "full name", "fullname", "contact name", "contact", "contact person", "display name",
        "customer name", "vollstandiger name", "vor und nachname", "ansprechpartner", "kontakt",
        "nom complet", "nom et prenom",
        "prenom et nom", "interlocuteur", "nombre completo", "nombre y apellidos", "persona de contacto",
        "volledige naam", "contactpersoon", "nome completo", "nome e cognome", "referente",
    ),
    "company": (
        "company", "company name", "organization", "organisation", "organization name", "account", "employer",
        "account name", "business", "firm", "firma", "firmenname", "unternehmen", "societe", "entreprise",
        "raison sociale", "empresa", "nombre de la empresa", "compania", "organizacion", "bedrijf",
        "bedrijfsnaam", "organisatie", "azienda", "societa", "ragione sociale", "ditta",
    ),
    "job_title": (
        "job title", "jobtitle", "position", "role", "job", "function", "title", "job role", "funktion",
        "berufsbezeichnung", "stellenbezeichnung", "stelle", "poste", "fonction", "titre du poste", "cargo",
        "puesto", "puesto de trabajo", "functie", "functietitel", "qualifica", "ruolo",
        "mansione", "posizione",
    ),
    "phone": (
        "phone", "telephone", "phone number", "tel", "mobile", "mobile phone", "cell", "work phone",
        "telefon", "business phone", "phone 1 value", "telefonnummer", "handy", "mobil", "mobiltelefon",
        "rufnummer",
        "numero de telephone", "portable", "telefono", "movil", "numero de telefono", "telefoon", "mobiel",
        "telefoonnummer", "gsm", "cellulare", "numero di telefono",
    ),
    "city": (
        "city", "town", "locality", "ort", "stadt", "wohnort", "ville", "commune", "ciudad", "localidad",
        "poblacion", "municipio", "plaats", "woonplaats", "stad", "citta", "comune", "localita",
    ),
    "country": (
        "country", "country code", "country region", "nation", "land", "staat", "pays", "pais", "paese",
        "nazione", "landcode", "landercode",
    ),
    "language": (
        "language", "preferred language", "locale", "lang", "sprache", "langue", "idioma", "lengua", "taal",
        "lingua",
    ),
    "tags": (
        "tags", "tag", "labels", "label", "categories", "category", "groups", "group", "segments", "segment",
        "schlagworte", "schlagworter", "kategorien", "kategorie", "gruppe", "gruppen", "etiquettes",
        "mots cles",
        "etiquetas", "categorias", "trefwoorden", "etichette", "categorie",
    ),
}  # fmt: skip
# “Name” alone is the whole name, but the other half where the file has one half already.
_EITHER_NAME = frozenset({"name", "nom", "naam", "nombre", "nome"})
_ABOUT_SOMETHING = frozenset(
    {
        "id",
        "status",
        "opt",
        "optin",
        "in",
        "out",
        "date",
        "count",
        "source",
        "owner",
        "type",
        "url",
        "verified",
        "sent",
    }
)
_EXACT, _WITHIN, _LIKELY = 100, 50, 0.5


def suggest_mapping(columns: Sequence[str], sample: Sequence[RawRow]) -> dict[str, int]:
    """Field to column index, each column once, only where the guess is good; the person confirms it.

    An email column is known by its contents first, so it is found in a file without names too.
    """
    names = [plain(column) for column in columns]
    scores: list[tuple[float, str, int]] = []
    for place, name in enumerate(names):
        filled = [row.cells[place] for row in sample if place < len(row.cells) and row.cells[place].strip()]
        for field, known in _NAMES.items():
            score = _score(name, known)
            if field == "email":
                score = _email_score(score, filled)
            elif filled and _share_of_addresses(filled) >= _LIKELY:
                score = 0
            if score:
                scores.append((score, field, place))
    # The best first; of equals the column further left.
    found: dict[str, int] = {}
    for _, field, place in sorted(scores, key=lambda item: (-item[0], item[2])):
        if field not in found and place not in found.values():
            found[field] = place
    _place_either_names(names, found)
    return {field: found[field] for field in _FIELD_ORDER if field in found}


_FIELD_ORDER = (*_NAMES,)


def _score(name: str, known: Sequence[str]) -> float:
    if name in known:
        return _EXACT - known.index(name) / 100  # the plainest name wins: “Phone” over “Mobile”
    words = name.split()
    if _ABOUT_SOMETHING & set(words):
        return 0
    padded = f" {name} "
    inside = [candidate for candidate in known if len(candidate) >= 4 and f" {candidate} " in padded]
    return _WITHIN - len(words) if inside else 0


def _email_score(by_name: float, filled: Sequence[str]) -> float:
    if not filled:
        return by_name if by_name > _WITHIN else 0
    share = _share_of_addresses(filled)
    if share >= _LIKELY:
        return by_name + 200 * share
    return by_name if share and by_name > _WITHIN else 0


def _share_of_addresses(filled: Sequence[str]) -> float:
    return sum(looks_like_address(cell) for cell in filled) / len(filled)


def _place_either_names(names: Sequence[str], found: dict[str, int]) -> None:
    taken = set(found.values())
    free = [place for place, name in enumerate(names) if name in _EITHER_NAME and place not in taken]
    if not free or ("first_name" in found and "last_name" in found):
        return
    if "first_name" in found:
        found["last_name"] = free[0]
    elif "last_name" in found:
        found["first_name"] = free[0]
    elif "full_name" not in found:
        found["full_name"] = free[0]
