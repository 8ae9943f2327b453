"""The WSGI application: `granian --interface wsgi wsgi:app`, or `tcma web`."""

from tcma import create_app

app = create_app()
