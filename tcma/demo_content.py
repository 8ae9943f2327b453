"""What the demo's vendors publish and whom its partners may write to: kits, campaigns, contact files."""

from __future__ import annotations

import csv
import io
import re
import tempfile
import unicodedata
from functools import partial
from pathlib import Path
from typing import Any

from tcma.assets import sample_documents, samples
from tcma.assets import services as asset_services
from tcma.audience import imports
from tcma.audience.states import ConsentBasis
from tcma.campaigns import services as campaign_services
from tcma.demo_cast import World
from tcma.demo_clockwork import chance, past

SECURITY, BACKUP = "cloud-security-check", "backup-that-restores"

CAMPAIGNS: tuple[tuple[str, str, str, dict[str, Any], int | None], ...] = (
    # key, person, starter, changed fields, published days ago (None: stays a draft)
    ("nw-check", "marco", SECURITY, {"effort_minutes": 10}, 89),
    ("nw-backup", "marco", BACKUP, {"effort_minutes": 15}, 60),
    ("bl-backup", "max", BACKUP, {"name": "Brightline Restore Day", "effort_minutes": 10}, 83),
    ("bl-check", "max", SECURITY, {"name": "Move with confidence", "effort_minutes": 20}, 36),
    ("nw-draft", "marco", SECURITY, {"name": "Winter security webinar"}, None),
    ("bl-draft", "max", BACKUP, {"name": "Year-end storage check"}, None),
)
KITS = (
    # person, name, description, color, title of the data sheet, title of the banner, days ago
    ("marco", "Cloud security check", "Data sheet and banner for the cloud security check, with room for your logo.",
     "#0f5e73", "Cloud Security Check", "Is your cloud as safe as you think?", 89),
    ("marco", "Backup and recovery", "For talks with customers who have a backup and never tried it.",
     "#1b7a5a", "Backup That Restores", "Bring one file back with us", 60),
    ("max", "Brightline Restore Day", "Everything for the restore day: a sheet to hand out and a picture to post.",
     "#4338a8", "Brightline Restore", "Restore day: one hour, one file", 83),
)  # fmt: skip

FIRST = {
    "de": "Anna Ben Clara David Elif Finn Greta Hannes Ida Jonas Katrin Lars Mareike Niklas Olivia Paul Rieke Sven "
    "Tanja Ulrich Vanessa Wiebke Yusuf Zoe Torben Silke Jörg Björn Käthe Günter",
    "nl": "Anouk Bram Charlotte Daan Emma Fleur Gijs Hanneke Ilse Jeroen Kim Lotte Maarten Noor Oscar Pieter Roos "
    "Sander Tess Umit Wouter Yara Bas Femke Ruben Saskia",
    "fr": "Amélie Benoît Camille Damien Élodie Fabien Gaëlle Hugo Inès Julien Karine Luc Maëlle Nicolas Océane "
    "Pascal Quentin Renée Sylvain Théo Valérie Yves Zoé Agnès Cédric",
    "cs": "Adéla Bohumil Dana Eliška František Hana Ivan Jana Karel Lenka Martin Nikola Ondřej Petra Radek Šárka "
    "Tomáš Veronika Zdeněk Kateřina",
}
LAST = {
    "de": "Petersen Müller Schröder Hansen Fischer Weber Lorenzen Behrens Koch Richter Wulff Yılmaz Krüger Jessen "
    "Voß Brandt Lüders Schmidt Harms Thomsen Kowalski Böttcher Groß Claussen",
    "nl": "Jansen Bakker Visser Smit Meijer Mulder Bos Vos Peters Hendriks Dekker Brouwer Kok Willems Vermeulen "
    "Jacobs Kuipers Aydin Postma Schouten",
    "fr": "Martin Bernard Dubois Moreau Lefèvre Roux Fournier Girard Lambert Bonnet François Mercier Blanc Guérin "
    "Boyer Garnier Chevalier Perrin Rivière Benali",
    "cs": "Novák Svoboda Dvořák Černý Procházka Kučera Veselý Horák Němec Marek Pospíšil Hájek Král Růžička Beneš",
}
FIRMS = {
    "de": ("Nordwind Logistik|Förde Metallbau|Kanal Apotheke|Küstenbau|Holtenau Yachten|Probstei Molkerei|"
           "Schwentine Druck|Ostsee Hotels|Wulff & Söhne|Kieler Gerätebau|Alster Steuerberatung|Eider Maschinen", "GmbH"),
    "nl": ("Domtoren Advies|Vecht Logistiek|Kromme Rijn Bouw|Singel Notarissen|Lunetten Techniek|Maliebaan Zorg|"
           "De Meern Vers|Stichtse Drukkerij|Jaarbeurs Events|Griftpark Design", "B.V."),
    "fr": ("Presqu'île Conseil|Fonderie du Rhône|Cabinet Bellecour|Textiles Croix-Rousse|Saône Transports|"
           "Imprimerie Monplaisir|Clinique des Brotteaux|Vignobles Beaujolais|Gerland Biotech", "SARL"),
    "cs": ("Vltava Stavby|Žižkov Tisk|Moravan Stroje|Letná Účetnictví|Karlín Logistika|Smíchov Potraviny", "s.r.o."),
}  # fmt: skip
CITIES = {
    "de": "Kiel Lübeck Flensburg Hamburg Rendsburg Eckernförde", "nl": "Utrecht Amersfoort Zeist Nieuwegein Woerden",
    "fr": "Lyon Villeurbanne Grenoble Annecy Valence", "cs": "Praha Brno Kolín Plzeň",
}  # fmt: skip
JOBS = ("Managing Director", "Head of IT", "Office Manager", "IT Administrator", "Head of Finance", "Operations Manager")
HEADS = {
    "de": ("Vorname;Nachname;E-Mail;Firma;Position;Ort;Land", "DE"),
    "nl": ("Voornaam;Achternaam;E-mail;Bedrijf;Functie;Plaats;Land", "NL"),
    "fr": ("Prénom;Nom;E-mail;Société;Fonction;Ville;Pays", "FR"),
    "cs": ("First name;Last name;Email;Company;Job title;City;Country", "CZ"),
}
LISTS = (
    # key, person, language, name, how many, basis, source, days ago
    ("hansen-customers", "piet", "de", "Customers 2026", 190, ConsentBasis.EXISTING_CUSTOMER, "order forms since 2021", 87),
    ("hansen-news", "piet", "de", "Newsletter", 260, ConsentBasis.DOUBLE_OPT_IN, "newsletter form on our site", 80),
    ("meridian-customers", "mila", "nl", "Klanten", 185, ConsentBasis.EXISTING_CUSTOMER, "customers with a contract", 85),
    ("meridian-fair", "mila", "nl", "Fair in Utrecht", 150, ConsentBasis.OPT_IN, "cards left at our stand", 58),
    ("atelier-clients", "anais", "fr", "Clients", 165, ConsentBasis.EXISTING_CUSTOMER, "clients depuis 2020", 83),
    ("novak-clients", "nora", "cs", "Clients", 120, ConsentBasis.OPT_IN, "sign-up form on our site", 78),
)


def plan_content(world: World) -> None:
    """Everything that vendors publish and partners upload, at its moment."""
    for person, name, description, color, sheet, banner, days in KITS:
        world.agenda.ago(days, partial(_make_kit, world, person, name, description, color, sheet, banner), hour=11)
    for key, person, starter, fields, published in CAMPAIGNS:
        made = partial(_make_campaign, world, key, person, starter, fields, publish=published is not None)
        world.agenda.ago(published or 6, made, hour=12)
    for key, person, language, name, number, basis, source, days in LISTS:
        uploaded = partial(_import_list, world, key, person, language, name, world.size(number), basis, source)
        world.agenda.ago(days, uploaded, hour=13)


def _make_kit(
    world: World, person: str, name: str, description: str, color: str, sheet: str, banner: str
) -> None:
    actor = world.by(person)
    with past(actor) as session:
        kit = asset_services.create_kit(session, actor, name=name, description=description)
        asset_services.add_asset(
            session, actor, kit.id, filename="datasheet.pdf", name=f"{sheet}, data sheet",
            data=sample_documents.sample_datasheet(sheet, actor.organization_name, color),
            zones=[zone.as_json() for zone in sample_documents.SAMPLE_DATASHEET_ZONES],
        )  # fmt: skip
        asset_services.add_asset(
            session, actor, kit.id, filename="banner.png", name=f"{sheet}, banner",
            data=samples.sample_banner(banner, color),
            zones=[zone.as_json() for zone in samples.SAMPLE_BANNER_ZONES],
        )  # fmt: skip
        session.refresh(kit, ["assets"])
        asset_services.publish_kit(session, actor, kit.id, partner_ids=None)


def _make_campaign(
    world: World, key: str, person: str, starter: str, fields: dict[str, Any], *, publish: bool
) -> None:
    actor = world.by(person)
    with past(actor) as session:
        made = campaign_services.create_from_starter(session, actor, starter)
        campaign_services.save_draft(session, actor, made.id, **fields)
        if publish:
            campaign_services.publish_campaign(
                session, actor, made.id, partner_ids=None, note="First publication."
            )
        world.campaigns[key] = made.id


def _import_list(
    world: World, key: str, person: str, language: str, name: str, number: int, basis: ConsentBasis, source: str
) -> None:
    actor = world.by(person)
    with tempfile.TemporaryDirectory(prefix="tcma-demo-") as folder:
        path = Path(folder) / f"{key}.csv"
        path.write_bytes(contact_file(key, language, number))
        with past(actor) as session:
            row = imports.create_import(session, actor, filename=path.name, path=path)
            imports.queue_import(
                session, actor, row.id, mapping=row.mapping, basis=basis, basis_source=source, list_name=name
            )
            assert row.list_id is not None
            world.lists[key] = row.list_id
    imports.run_import(actor, row.id)


def contact_file(key: str, language: str, number: int) -> bytes:
    """A file as a partner's office would export it: with a duplicate, a shared mailbox and a row that cannot be used."""
    draw = chance(f"contacts {key}")
    firms, form = FIRMS[language]
    head, country = HEADS[language]
    target = io.StringIO()
    out = csv.writer(target, delimiter=";", lineterminator="\r\n")
    out.writerow(head.split(";"))
    for place in range(number):
        first, last = draw.choice(FIRST[language].split()), draw.choice(LAST[language].split())
        firm = draw.choice(firms.split("|"))
        mark = "" if place < 40 else str(draw.randint(2, 99))
        address = f"{plain(first)}.{plain(last)}{mark}@{plain(firm)}.example"
        out.writerow(
            [first, last, address, f"{firm} {form}", draw.choice(JOBS), draw.choice(CITIES[language].split()), country]
        )
        if place == 3:
            out.writerow([first, last, address.upper(), firm, "", "", country])
    out.writerow(["", "", f"info@{plain(firms.split('|')[0])}.example", firms.split("|")[0], "", "", country])
    out.writerow([draw.choice(FIRST[language].split()), "", "no address yet", "", "", "", country])
    return target.getvalue().encode("utf-8-sig")


def plain(text: str) -> str:
    """A name as it goes into an address."""
    for special, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), ("ı", "i")):
        text = text.lower().replace(special, letters)
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")
